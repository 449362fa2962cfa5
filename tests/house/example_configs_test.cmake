# Every configuration that we show is valid: the one in README.md and all under examples/.
#
#   cmake -DROOT=. -DWEIR=build/release/bin/weir -DWORK=DIR -P tests/house/example_configs_test.cmake
cmake_minimum_required(VERSION 3.25)
file(READ ${ROOT}/README.md readme)
string(FIND "${readme}" "```yaml\n" begin)
if(begin EQUAL -1)
  message(FATAL_ERROR "README.md shows no configuration")
endif()
math(EXPR begin "${begin} + 8")
string(SUBSTRING "${readme}" ${begin} -1 rest)
string(FIND "${rest}" "```" end)
string(SUBSTRING "${rest}" 0 ${end} text)
file(WRITE ${WORK}/readme.yaml "${text}")

file(GLOB examples ${ROOT}/examples/*/*.yaml)
# A file of API keys is no configuration; it is judged with the one that names it.
list(FILTER examples EXCLUDE REGEX "/keys\\.yaml$")
foreach(file IN LISTS examples ITEMS ${WORK}/readme.yaml)
  # A file of experiments is named by the configuration beside it, and has a check of its own.
  set(check check)
  if(file MATCHES "experiments\\.yaml$")
    set(check experiment lint)
  endif()
  # Tests of pages are run.
  if(file MATCHES "pages_test\\.yaml$")
    set(check bff test)
  endif()
  execute_process(COMMAND ${WEIR} ${check} ${file} RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${file} (${result}):\n${text}")
  endif()
  message(STATUS "${file}: valid")
endforeach()
