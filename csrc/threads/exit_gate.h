/* No work of oneDNN while the process ends. */
#ifndef GT_EXIT_GATE_H
#define GT_EXIT_GATE_H

/* Around whatever runs oneDNN, for milliseconds at most but for the building of a plan, and never
 * around a wait for another thread.  A thread that enters after the gate was closed stays there. */
void gt_exit_gate_enter(void);
void gt_exit_gate_leave(void);

/* Close the gate for good and wait, some seconds at most, until nobody is inside: what follows takes
 * the tables down that oneDNN works with.  For the end of the interpreter, which leaves threads that
 * it calls daemons running. */
void gt_exit_gate_close(void);

#endif
