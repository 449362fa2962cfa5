# Proves that cmake/layering_test.cmake turns red: a small tree that is right passes, and with one file added or one
# line of the table changed it fails with the rule that was broken.
#
#   cmake -DSCRIPT=cmake/layering_test.cmake -DWORK=DIR -P layering_selftest.cmake
cmake_minimum_required(VERSION 3.25)

set(table "base: \nasync: base\nratelimit: base\nresilience: base\nio: base async\ngateway: io ratelimit resilience base\n")

function(lay_out)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/layers.txt "${table}")
  file(WRITE ${WORK}/weir/base/a.h "#include <string>\n#include <sys/types.h>\n#include <unistd.h>\n")
  file(WRITE ${WORK}/weir/ratelimit/a.h "#include \"weir/base/a.h\"\n")
  file(WRITE ${WORK}/weir/ratelimit/a.cc "#include \"weir/ratelimit/internal/b.h\"\n#include <openssl/evp.h>\n")
  file(WRITE ${WORK}/weir/ratelimit/internal/b.h "#include <openssl/evp.h>\n")
  file(WRITE ${WORK}/weir/ratelimit/a_test.cc "#include <gtest/gtest.h>\n#include \"tests/support/wait.h\"\n")
  file(WRITE ${WORK}/weir/resilience/a.h "#include \"weir/base/a.h\"\n")
  file(WRITE ${WORK}/weir/io/a.h "#include \"weir/async/a.h\"\n")
  file(WRITE ${WORK}/weir/async/a.h "\n")
  file(WRITE ${WORK}/weir/gateway/a.cc "#include \"weir/io/a.h\"\n#include \"weir/ratelimit/a.h\"\n")
  file(WRITE ${WORK}/weir/later/README.md "A folder without sources is no part yet.\n")
endfunction()

set(failures "")
# Runs the checker; `wanted` is empty for a tree that must pass, else text of the complaint.
function(expect what wanted)
  execute_process(COMMAND ${CMAKE_COMMAND} -DLAYERS=${WORK}/layers.txt -DROOT=${WORK} -P ${SCRIPT}
    RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  string(REGEX REPLACE "[ \n]+" " " text "${text}")   # message() wraps its lines
  if(wanted STREQUAL "")
    if(NOT result EQUAL 0)
      set(failures "${failures}${what}: refused, though right: ${text}\n" PARENT_SCOPE)
    endif()
  elseif(result EQUAL 0)
    set(failures "${failures}${what}: not noticed\n" PARENT_SCOPE)
  else()
    string(FIND "${text}" "${wanted}" at)
    if(at EQUAL -1)
      set(failures "${failures}${what}: expected \"${wanted}\", got: ${text}\n" PARENT_SCOPE)
    endif()
  endif()
endfunction()

lay_out()
expect("the tree as it stands" "")

lay_out()
file(WRITE ${WORK}/weir/base/up.h "#include \"weir/io/a.h\"\n")
expect("an include of a higher floor" "weir/base/up.h: includes weir/io/a.h")

lay_out()
file(WRITE ${WORK}/weir/gateway/b.cc "  #  include \"weir/async/a.h\"\n")
expect("an include of what is only inherited" "weir/gateway/b.cc: includes weir/async/a.h")

lay_out()
file(WRITE ${WORK}/weir/gateway/b_test.cc "#include \"weir/async/a.h\"\n")
expect("the same in a test" "")

lay_out()
file(WRITE ${WORK}/weir/base/up_test.cc "#include \"weir/io/a.h\"\n")
expect("a test that includes a higher floor" "weir/base/up_test.cc: includes weir/io/a.h")

lay_out()
file(WRITE ${WORK}/weir/resilience/b.cc "#include \"weir/ratelimit/a.h\"\n")
expect("one of the five including another" "weir/resilience/b.cc: includes weir/ratelimit/a.h")

lay_out()
file(WRITE ${WORK}/layers.txt "base: \nasync: base\nratelimit: base\nresilience: base ratelimit\nio: base async\ngateway: io ratelimit resilience base\n")
expect("one of the five depending on another" "resilience depends on ratelimit")

lay_out()
file(WRITE ${WORK}/layers.txt "base: io\nasync: base\nratelimit: base\nresilience: base\nio: base async\ngateway: io ratelimit resilience base\n")
expect("a circle" "base depends on itself")

lay_out()
file(WRITE ${WORK}/weir/ratelimit/c.h "#include <openssl/evp.h>\n")
expect("a third party in a public header" "weir/ratelimit/c.h: a public header includes <openssl/evp.h>")

lay_out()
file(WRITE ${WORK}/weir/ratelimit/CMakeLists.txt "weir_library(ratelimit\n  HEADERS a.h c.h\n  SOURCES a.cc)\n")
file(WRITE ${WORK}/weir/ratelimit/c.h "#include <openssl/evp.h>\n")
expect("the same with a list of public headers" "weir/ratelimit/c.h: a public header includes <openssl/evp.h>")
file(REMOVE ${WORK}/weir/ratelimit/c.h)
file(WRITE ${WORK}/weir/ratelimit/fixture.h "#include <gtest/gtest.h>\n")
expect("a header of the tests, which the list does not name" "")

lay_out()
file(WRITE ${WORK}/weir/gateway/c.cc "#include \"weir/ratelimit/internal/b.h\"\n")
expect("another part's internal header" "which is ratelimit's own")

lay_out()
file(WRITE ${WORK}/weir/ratelimit/d.cc "#include \"a.h\"\n")
expect("an include that does not start at the root" "write it from the root")

lay_out()
file(WRITE ${WORK}/weir/stray/a.cc "\n")
expect("sources outside of any part" "weir/stray has sources but is no declared part")

file(REMOVE_RECURSE ${WORK})
if(failures)
  message(FATAL_ERROR "${failures}")
endif()
