#!/bin/sh
# keep_report.sh NVCC ARGUMENTS...
#
# Runs nvcc, which reports the registers and spills of each kernel, and keeps the report beside the object, for
# benchmarks/cuda_resources.py. The rest of what the compiler says is passed on.
for argument in "$@"; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
case $object in *.o) ;; *) exec "$@" ;; esac

"$1" --version >"$object.ptxas"
"$@" 2>>"$object.ptxas"
status=$?
sed 1,/^Build/d "$object.ptxas" | grep -vE '^ptxas info|^ +[0-9]+ bytes stack frame|^ *$' >&2
exit $status
