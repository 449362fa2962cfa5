# How a part of weir is declared. One call names its headers, sources and dependencies; everything else
# (alias target, install component, self-contained-header check, layering table) follows from it.
#
#   weir_library(ratelimit
#     HEADERS limiter.h decision.h        public; installed; each must compile alone
#     SOURCES limiter.cc
#     DEPS    base                        parts of lower floors; the layering test holds the includes to this list
#     PRIVATE OpenSSL::Crypto             third-party targets used in .cc files or internal/ only
#     FINDS   "OpenSSL 3"                 what find_dependency() must find for a user of the static library
#   )
#   weir_test(ratelimit SOURCES limiter_test.cc)          -> ratelimit_test, run by ctest
#   weir_bench(ratelimit SOURCES limiter_bench.cc)        -> ratelimit_bench
#   weir_fuzz(http parser_fuzz.cc)                        -> http_parser_fuzz (clang) or its corpus replay (any compiler)
#   weir_example(ratelimit readme_example.cc)             -> built and run by ctest; must exit 0

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set_property(GLOBAL PROPERTY WEIR_PARTS_DECLARED "")

function(weir_library name)
  cmake_parse_arguments(ARG "" "" "HEADERS;SOURCES;DEPS;PRIVATE;FINDS" ${ARGN})
  set(target weir_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  add_library(weir::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${name}
    OUTPUT_NAME weir_${name}
    LINKER_LANGUAGE CXX
    VERIFY_INTERFACE_HEADER_SETS ON)
  target_sources(${target} PUBLIC FILE_SET HEADERS
    BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${ARG_HEADERS})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${target} PUBLIC weir_${dep})
  endforeach()
  if(ARG_PRIVATE)
    target_link_libraries(${target} PRIVATE ${ARG_PRIVATE})
  endif()

  set_property(GLOBAL APPEND PROPERTY WEIR_PARTS_DECLARED ${name})
  set_property(GLOBAL PROPERTY WEIR_DEPS_${name} "${ARG_DEPS}")
  set_property(GLOBAL PROPERTY WEIR_FINDS_${name} "${ARG_FINDS}")

  if(WEIR_INSTALL)
    install(TARGETS ${target} EXPORT weir-${name}-targets COMPONENT ${name}
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
      FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT weir-${name}-targets NAMESPACE weir:: COMPONENT ${name}
      DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
  endif()
endfunction()

# One executable a part: tests link fast and the runner's list stays readable. SOURCES may be many files.
# LABELS tsan marks tests of structures that threads share; the tsan preset runs just these.
function(weir_test name)
  if(NOT WEIR_BUILD_TESTING)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TARGET" "SOURCES;DEPS;PRIVATE;LABELS;ARGS" ${ARGN})
  set(target ${ARG_TARGET})
  if(NOT target)
    set(target ${name}_test)
  endif()
  add_executable(${target} ${ARG_SOURCES})
  if(TARGET weir_${name})
    target_link_libraries(${target} PRIVATE weir_${name})
  endif()
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${target} PRIVATE weir_${dep})
  endforeach()
  target_link_libraries(${target} PRIVATE ${ARG_PRIVATE} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE WEIR_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    WEIR_BINARY_DIR="${PROJECT_BINARY_DIR}")
  add_test(NAME ${target} COMMAND ${target} ${ARG_ARGS})
  if(ARG_LABELS)
    set_tests_properties(${target} PROPERTIES LABELS "${ARG_LABELS}")
  endif()
endfunction()

function(weir_bench name)
  if(NOT WEIR_BUILD_BENCH)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TARGET" "SOURCES;DEPS;PRIVATE" ${ARGN})
  set(target ${ARG_TARGET})
  if(NOT target)
    set(target ${name}_bench)
  endif()
  add_executable(${target} ${ARG_SOURCES})
  if(TARGET weir_${name})
    target_link_libraries(${target} PRIVATE weir_${name})
  endif()
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${target} PRIVATE weir_${dep})
  endforeach()
  target_link_libraries(${target} PRIVATE ${ARG_PRIVATE} benchmark::benchmark)
endfunction()

# FILE defines LLVMFuzzerTestOneInput. With clang and WEIR_BUILD_FUZZ it explores; with any compiler the same
# file is linked to a small main that replays the corpus folder beside it, as an ordinary test.
function(weir_fuzz name file)
  get_filename_component(stem ${file} NAME_WE)
  set(target ${name}_${stem})
  set(corpus ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${stem})
  if(WEIR_BUILD_FUZZ)
    add_executable(${target} ${file})
    target_link_libraries(${target} PRIVATE weir_${name})
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  elseif(WEIR_BUILD_TESTING)
    add_executable(${target}_replay ${file} ${PROJECT_SOURCE_DIR}/cmake/fuzz_replay.cc)
    target_link_libraries(${target}_replay PRIVATE weir_${name})
    add_test(NAME ${target}_replay COMMAND ${target}_replay ${corpus})
  endif()
endfunction()

function(weir_example name file)
  if(NOT WEIR_BUILD_TESTING)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  get_filename_component(stem ${file} NAME_WE)
  set(target ${name}_${stem})
  add_executable(${target} ${file})
  target_link_libraries(${target} PRIVATE weir_${name})
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${target} PRIVATE weir_${dep})
  endforeach()
  add_test(NAME ${target} COMMAND ${target})
endfunction()

# Call once, after all parts: writes weirConfig.cmake with the table of who needs whom, and the layering table.
function(weir_finish)
  get_property(parts GLOBAL PROPERTY WEIR_PARTS_DECLARED)
  set(table "")
  set(layers "")
  foreach(part IN LISTS parts)
    get_property(deps GLOBAL PROPERTY WEIR_DEPS_${part})
    get_property(finds GLOBAL PROPERTY WEIR_FINDS_${part})
    string(APPEND table "set(_weir_deps_${part} \"${deps}\")\n")
    string(REPLACE ";" "\\;" finds_escaped "${finds}")
    string(APPEND table "set(_weir_finds_${part} \"${finds}\")\n")
    string(REPLACE ";" " " deps_spaced "${deps}")
    string(APPEND layers "${part}: ${deps_spaced}\n")
  endforeach()
  set(WEIR_COMPONENTS "${parts}")
  set(WEIR_DEPS_TABLE "${table}")
  file(WRITE ${PROJECT_BINARY_DIR}/layers.txt "${layers}")
  if(WEIR_INSTALL)
    configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/weirConfig.cmake.in
      ${PROJECT_BINARY_DIR}/weirConfig.cmake
      INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
    write_basic_package_version_file(${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
      COMPATIBILITY SameMinorVersion)
    foreach(part IN LISTS parts)
      install(FILES ${PROJECT_BINARY_DIR}/weirConfig.cmake ${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir COMPONENT ${part})
    endforeach()
  endif()
endfunction()
