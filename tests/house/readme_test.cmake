# Every part says what it is, and the example it shows is the one that the tests compile and run.
#
#   cmake -DROOT=. -P tests/house/readme_test.cmake
#
# (1) Each folder of weir/ has a README.md that begins with a title.
# (2) Where there is a readme_example.cc, the README holds it word for word.
# (3) No source or document holds a leftover marker (to-do, fix-me), and no test is disabled.
cmake_minimum_required(VERSION 3.25)
set(faults "")

file(GLOB folders LIST_DIRECTORIES TRUE RELATIVE ${ROOT} ${ROOT}/weir/*)
foreach(folder IN LISTS folders)
  if(NOT IS_DIRECTORY ${ROOT}/${folder})
    continue()
  endif()
  if(NOT EXISTS ${ROOT}/${folder}/README.md)
    string(APPEND faults "${folder} has no README.md\n")
    continue()
  endif()
  file(READ ${ROOT}/${folder}/README.md readme)
  if(NOT readme MATCHES "^# ")
    string(APPEND faults "${folder}/README.md does not begin with a title\n")
  endif()
  if(EXISTS ${ROOT}/${folder}/readme_example.cc)
    file(READ ${ROOT}/${folder}/readme_example.cc example)
    string(STRIP "${example}" example)
    string(FIND "${readme}" "${example}" at)
    if(at EQUAL -1)
      string(APPEND faults "${folder}/README.md does not hold ${folder}/readme_example.cc word for word\n")
    endif()
  endif()
endforeach()

set(patterns)
foreach(folder IN ITEMS weir tests examples bench tools cmake docs)
  foreach(ending IN ITEMS h cc md sh cmake txt)
    list(APPEND patterns ${ROOT}/${folder}/*.${ending})
  endforeach()
endforeach()
file(GLOB_RECURSE files RELATIVE ${ROOT} ${patterns})
string(CONCAT markers "(TO" "DO|FIX" "ME|TEST[_A-Z]*\\([A-Za-z]+, DIS" "ABLED_)")
foreach(file IN LISTS files)
  file(STRINGS ${ROOT}/${file} lines REGEX "${markers}")
  foreach(line IN LISTS lines)
    string(APPEND faults "${file}: leftover marker: ${line}\n")
  endforeach()
endforeach()

if(faults)
  message(FATAL_ERROR "${faults}")
endif()
