# Holds the includes to the floors: a part may include itself and the parts that its DEPS name, and nothing else.
#
#   cmake -DLAYERS=build/release/layers.txt -DROOT=. -P cmake/layering_test.cmake
#
# LAYERS is written by weir_finish(): a line `part: dep dep ...` for each declared part. ROOT holds weir/PART/. Every
# file of a part is read (.h .cc, tests and benchmarks too). One include root would let any of them compile, which
# is why somebody has to look. Rules:
#   (1) weir/PART/ includes "weir/PART/..." and "weir/DEP/..." with DEP in the DEPS of PART, declared, not inherited.
#   (2) ratelimit, resilience, experiment, passport and bff never depend on each other.
#   (3) A public header names no header of a third party: <...> holds the standard library or a POSIX header only.
#   (4) weir/PART/internal/ is included by PART alone.
#   (5) A folder with sources is a declared part (unless ALLOW_UNDECLARED names it).
# Tests and benchmarks (_test.cc _bench.cc _fuzz.cc, readme_example.cc, testing/, and headers that the part's HEADERS
# do not name) may use third-party headers and any part below theirs, since they are linked to nothing that ships.
cmake_minimum_required(VERSION 3.25)

set(kernels ratelimit resilience experiment passport bff)
set(faults "")

file(STRINGS ${LAYERS} lines)
set(parts "")
foreach(line IN LISTS lines)
  if(line MATCHES "^([a-z_]+): ?(.*)$")
    set(part ${CMAKE_MATCH_1})
    string(REPLACE " " ";" deps_${part} "${CMAKE_MATCH_2}")
    list(APPEND parts ${part})
  endif()
endforeach()
if(NOT parts)
  message(FATAL_ERROR "no parts in ${LAYERS}")
endif()

# All parts that stand below `part`, over any number of steps.
function(reach part out)
  set(seen "")
  set(open ${deps_${part}})
  while(open)
    list(POP_FRONT open next)
    if(NOT next IN_LIST seen)
      list(APPEND seen ${next})
      list(APPEND open ${deps_${next}})
    endif()
  endwhile()
  set(${out} "${seen}" PARENT_SCOPE)
endfunction()

foreach(part IN LISTS parts)
  reach(${part} below)
  if(part IN_LIST below)
    string(APPEND faults "${part} depends on itself: a circle in DEPS\n")
  endif()
  if(part IN_LIST kernels)
    foreach(other IN LISTS kernels)
      if(other IN_LIST below)
        string(APPEND faults "${part} depends on ${other}: the five parts stand alone (rule 2)\n")
      endif()
    endforeach()
  endif()

  set(public "")   # the HEADERS of the part; empty when there is no list to read
  if(EXISTS ${ROOT}/weir/${part}/CMakeLists.txt)
    file(READ ${ROOT}/weir/${part}/CMakeLists.txt declaration)
    if(declaration MATCHES "HEADERS([^()]*)SOURCES")
      string(REGEX MATCHALL "[a-z0-9_/]+\\.h" public "${CMAKE_MATCH_1}")
    endif()
  endif()

  file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/weir/${part}/*.h ${ROOT}/weir/${part}/*.cc)
  foreach(file IN LISTS files)
    set(proof FALSE)
    if(file MATCHES "(_test|_bench|_fuzz|/readme_example)\\.cc$|/testing/")
      set(proof TRUE)
    elseif(public AND file MATCHES "\\.h$" AND NOT file MATCHES "/internal/")
      string(REPLACE "weir/${part}/" "" name ${file})
      if(NOT name IN_LIST public)
        set(proof TRUE)
      endif()
    endif()
    file(STRINGS ${ROOT}/${file} includes REGEX "^[ \t]*#[ \t]*include")
    foreach(include IN LISTS includes)
      if(include MATCHES "\"weir/([a-z_]+)/([^\"]*)\"")
        set(target ${CMAKE_MATCH_1})
        set(rest ${CMAKE_MATCH_2})
        set(allowed ${deps_${part}})
        if(proof)
          set(allowed ${below})
        endif()
        if(NOT target STREQUAL part AND NOT target IN_LIST allowed)
          string(APPEND faults "${file}: includes weir/${target}/${rest}, but ${part} has DEPS \"${deps_${part}}\" (rule 1)\n")
        elseif(NOT target STREQUAL part AND rest MATCHES "^internal/")
          string(APPEND faults "${file}: includes weir/${target}/${rest}, which is ${target}'s own (rule 4)\n")
        endif()
      elseif(NOT proof AND file MATCHES "\\.h$" AND NOT file MATCHES "/internal/" AND include MATCHES "<([^>]*)>")
        set(header ${CMAKE_MATCH_1})
        # The standard library has no dot; POSIX and Linux headers stand in sys/, netinet/ and so on or are listed.
        if(header MATCHES "\\." AND NOT header MATCHES "^(sys|netinet|arpa|linux)/[a-z0-9_]+\\.h$"
           AND NOT header MATCHES "^(unistd|fcntl|poll|regex|signal|pthread|netdb|time|errno|immintrin)\\.h$")
          string(APPEND faults "${file}: a public header includes <${header}> of a third party (rule 3)\n")
        endif()
      elseif(NOT proof AND include MATCHES "\"([^\"]*)\"")
        string(APPEND faults "${file}: includes \"${CMAKE_MATCH_1}\"; write it from the root, \"weir/...\" (rule 1)\n")
      endif()
    endforeach()
  endforeach()
endforeach()

file(GLOB folders LIST_DIRECTORIES TRUE RELATIVE ${ROOT}/weir ${ROOT}/weir/*)
foreach(folder IN LISTS folders)
  file(GLOB sources ${ROOT}/weir/${folder}/*.h ${ROOT}/weir/${folder}/*.cc)
  if(sources AND NOT folder IN_LIST parts AND NOT folder IN_LIST ALLOW_UNDECLARED)
    string(APPEND faults "weir/${folder} has sources but is no declared part (rule 5)\n")
  endif()
endforeach()

if(faults)
  message(FATAL_ERROR "the floors do not hold:\n${faults}")
endif()
list(LENGTH parts count)
message(STATUS "${count} parts, every include allowed")
