# From oneDNN's preprocessed header on standard input to C: for each function in `names`, separated
# by blanks, a wrapper as the linker's option --wrap wants it, which fails when tests/core/faults.h
# says so and keeps count of what is created and destroyed.
#
# A function that returns a status fails with one; a function that returns an object fails with
# NULL.  One that returns a number has no way to fail.  One that destroys does so and then fails.

BEGIN {
    RS = ";"
    count = split(names, list, " ")
    for (i = 1; i <= count; i++) {
        wanted[list[i]] = 1
    }
    print "#include <oneapi/dnnl/dnnl.h>\n\n#include \"faults.h\""
}

{
    gsub(/[ \t\n]+/, " ")
    sub(/^ /, "")
    if (!match($0, /dnnl_[a-z0-9_]+ ?\(/)) {
        next
    }
    name = substr($0, RSTART, RLENGTH - 1)
    sub(/ $/, "", name)
    if (!(name in wanted)) {
        next
    }
    delete wanted[name]
    kind = substr($0, 1, RSTART - 1)
    parameters = substr($0, RSTART + RLENGTH)
    sub(/\)[^)]*$/, "", parameters)
    write_wrapper()
}

# The last word of each parameter is its name.
function arguments(    parts, n, k, text) {
    if (parameters ~ /^ ?void ?$/) {
        return ""
    }
    n = split(parameters, parts, ",")
    for (k = 1; k <= n; k++) {
        sub(/ ?\[[^]]*\] ?$/, "", parts[k])
        sub(/ $/, "", parts[k])
        sub(/^.*[ *]/, "", parts[k])
        text = text (k > 1 ? ", " : "") parts[k]
    }
    return text
}

function write_wrapper(    call, first) {
    call = "__real_" name "(" arguments() ")"
    first = arguments()
    sub(/,.*/, "", first)
    printf "\n%s__real_%s(%s);\n", kind, name, parameters
    printf "%s__wrap_%s(%s);\n\n%s\n__wrap_%s(%s)\n{\n", kind, name, parameters, kind, name,
           parameters
    if (name ~ /_destroy$/) {
        printf "    if (%s != NULL) {\n        gt_faults_count(-1);\n    }\n", first
        printf "    dnnl_status_t code = %s;\n", call
        printf "    return gt_faults_strike(\"%s\") ? gt_faults_code() : code;\n", name
    }
    else if (kind ~ /^dnnl_status_t/) {
        printf "    if (gt_faults_strike(\"%s\")) {\n", name
        print "        return gt_faults_code();\n    }"
        printf "    dnnl_status_t code = %s;\n", call
        if (name ~ /_(create|clone)(_with_[a-z]+)?$/) {
            print "    gt_faults_count(code == dnnl_success);"
        }
        print "    return code;"
    }
    else if (kind ~ /^const_dnnl_[a-z_]+_t|\*/) {
        printf "    return gt_faults_strike(\"%s\") ? NULL : %s;\n", name, call
    }
    else {
        printf "    return %s;\n", call
    }
    print "}"
}

END {
    for (name in wanted) {
        printf "#error \"no prototype of %s\"\n", name
    }
}
