/* How much processor time the control groups leave a process. */
#ifndef GT_CONTROL_GROUPS_H
#define GT_CONTROL_GROUPS_H

/* Whole processors that the quotas amount to of the control groups which this process is in, the
 * smallest on the way up from its own to the outermost that is mounted (cpu.max; in version 1
 * cpu.cfs_quota_us); 0 without a limit.  `root` stands before all paths that are read: "" but for
 * tests. */
int gt_control_group_threads(const char *root);

#endif
