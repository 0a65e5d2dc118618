# Test: cmake -DREPORT=<regular expression> -P expect_report.cmake -- <program> <arguments>...
#
# The program must fail, and its output must match: a sanitizer's finding, not a crash of another kind.
set(command "")
set(after FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  if(after)
    list(APPEND command "${CMAKE_ARGV${i}}")
  elseif("${CMAKE_ARGV${i}}" STREQUAL "--")
    set(after TRUE)
  endif()
endforeach()
execute_process(COMMAND ${command} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(status EQUAL 0 OR NOT output MATCHES "${REPORT}")
  message(FATAL_ERROR "'${command}' ended with ${status}; wanted was a failure that reports '${REPORT}'. "
                      "It said:\n${output}")
endif()
