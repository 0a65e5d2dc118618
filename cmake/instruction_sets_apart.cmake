# Test: cmake -DNM=... -DOBJECT=... -DISA=avx2 -P instruction_sets_apart.cmake
#
# Of equal inline functions in several objects the linker keeps one, any one. Should the one that was
# compiled for AVX-512 be kept for all, a machine without AVX-512 dies of an illegal instruction. So
# whatever a kernel object shares by name must carry its instruction set's namespace in that name.
execute_process(COMMAND ${NM} --demangle --defined-only ${OBJECT}
  OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX REPLACE "[][;]" "_" symbols "${symbols}")
string(REGEX MATCHALL "[^\n]* W [^\n]*" shared "${symbols}")
list(FILTER shared EXCLUDE REGEX "semideep::${ISA}")
if(shared)
  list(JOIN shared "\n  " shared)
  message(FATAL_ERROR "${OBJECT} shares functions with code for any machine:\n  ${shared}\n"
                      "Move them into the namespace SEMIDEEP_ISA or mark them always_inline.")
endif()
