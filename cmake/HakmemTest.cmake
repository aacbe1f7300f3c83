# hakmem_add_test: the only way in which a test is added.
#
#   hakmem_add_test(NAME n
#       SOURCES a.c ...          the program; or instead of it
#       SCRIPT s.sh              a bash script
#       LABEL unit|api|stress|conformance|system|golden
#       [LINK internal|shared|static|none]   default internal (none with PRELOAD)
#       [PRELOAD]                run with libhakmem.so preloaded
#       [ARGS ...] [ENV K=V ...] [TIMEOUT seconds]   default 60
#       [SERIAL]                 nothing else runs beside it
#       [NATIVE]                 leave it out of a cross build
#       [ONCE])                  not again with other page sizes
#
# A program exits 0 (passed), 77 (skipped, having said why) or otherwise
# (failed). It builds natively and cross; there it runs under
# CMAKE_CROSSCOMPILING_EMULATOR, and no test needs to mention the emulator.
# It is compiled with HAKMEM_TEST_SLOWDOWN=N: how many times slower than a plain
# native build this one runs, about; loops should shrink by it. Timeouts are
# stretched by it here. NDEBUG is never defined, so assert() works.
#
# A script gets its surroundings from the environment: HAKMEM_SOURCE_DIR,
# HAKMEM_BINARY_DIR, HAKMEM_SHARED_LIB, HAKMEM_STATIC_LIB, CC, EMULATOR (the emulator
# command, empty natively), READELF, NM. tests/testing.sh has what scripts share.
#
# In a sanitizer build malloc belongs to the sanitizer: tests that need the
# library's malloc (LINK shared or static, PRELOAD) are left out, with a message.
#
# HAKMEM_TEST_PAGE_SIZES lists further page sizes: each unit and api program then
# runs once more for each, as NAME.page16384 and so on, label "pages" (emulator only).

set(HAKMEM_TEST_PAGE_SIZES "" CACHE STRING "Further page sizes to run unit and api tests with (qemu)")
# CTest knows tests by their names alone: of two with the same name in one run, also of
# different builds, both get the properties, such as the environment, of the later.
set(HAKMEM_TEST_PREFIX "" CACHE STRING "In front of each test's name, for runs of several builds at once")

set(HAKMEM_TEST_SLOWDOWN 1)
if(CMAKE_CROSSCOMPILING)
	set(HAKMEM_TEST_SLOWDOWN 10)
elseif(HAKMEM_SANITIZE STREQUAL "thread")
	set(HAKMEM_TEST_SLOWDOWN 10)
elseif(HAKMEM_SANITIZE OR HAKMEM_DEV)
	set(HAKMEM_TEST_SLOWDOWN 4)
endif()

# Flags of every test program. The compiler must not reason about malloc: it
# would remove the calls that are tested, or warn of the faults made on purpose.
add_library(hakmem_test_flags INTERFACE)
target_link_libraries(hakmem_test_flags INTERFACE hakmem_warnings hakmem_sanitize)
target_compile_definitions(hakmem_test_flags INTERFACE
	_GNU_SOURCE HAKMEM_TEST_SLOWDOWN=${HAKMEM_TEST_SLOWDOWN})
target_compile_options(hakmem_test_flags INTERFACE
	-g -UNDEBUG -fno-omit-frame-pointer -pthread
	-fno-builtin-malloc -fno-builtin-free -fno-builtin-calloc -fno-builtin-realloc
	-fno-builtin-aligned_alloc -fno-builtin-posix_memalign -fno-builtin-memalign
	$<$<C_COMPILER_ID:GNU>:-Wno-alloc-size-larger-than>
	$<$<C_COMPILER_ID:GNU>:-Wno-free-nonheap-object>
	$<$<C_COMPILER_ID:GNU>:-Wno-use-after-free>
	$<$<C_COMPILER_ID:GNU>:-Wno-mismatched-dealloc>
	$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-mismatched-new-delete>
	$<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:GNU>>:-Wno-deprecated-declarations>
	$<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:Clang>>:-Wno-deprecated-declarations>)
target_link_options(hakmem_test_flags INTERFACE -pthread)

# Set `out` to the command that runs `target`: the emulator where there is one,
# `page_size` (may be empty), the loader's variables, the program.
# LD_* must never be in the environment of the emulator: it would obey it itself.
function(hakmem_test_command out target page_size)
	set(command "")
	if(CMAKE_CROSSCOMPILING)
		set(command ${CMAKE_CROSSCOMPILING_EMULATOR})
		if(page_size)
			list(APPEND command -p ${page_size})
		endif()
		foreach(pair IN LISTS ARGN)
			list(APPEND command -E ${pair})
		endforeach()
	elseif(ARGN)
		set(command ${CMAKE_COMMAND} -E env ${ARGN})
	endif()
	set(${out} ${command} $<TARGET_FILE:${target}> PARENT_SCOPE)
endfunction()

function(hakmem_test_properties name label timeout serial)
	if(HAKMEM_SANITIZE STREQUAL "thread")
		# Threads after a fork are the point of some tests.
		list(PREPEND ARGN TSAN_OPTIONS=die_after_fork=0)
	elseif(HAKMEM_SANITIZE STREQUAL "undefined")
		list(APPEND ARGN UBSAN_OPTIONS=print_stacktrace=1)
	endif()
	math(EXPR timeout "${timeout} * ${HAKMEM_TEST_SLOWDOWN}")
	set_tests_properties(${name} PROPERTIES
		LABELS "${label}" TIMEOUT ${timeout} SKIP_RETURN_CODE 77 RUN_SERIAL "${serial}"
		ENVIRONMENT "${ARGN}")
endfunction()

function(hakmem_add_test)
	cmake_parse_arguments(PARSE_ARGV 0 T "PRELOAD;SERIAL;NATIVE;ONCE" "NAME;LABEL;TIMEOUT;LINK;SCRIPT" "SOURCES;ARGS;ENV")
	if(T_UNPARSED_ARGUMENTS)
		message(FATAL_ERROR "hakmem_add_test(${T_NAME}): unknown arguments ${T_UNPARSED_ARGUMENTS}")
	endif()
	if(NOT T_NAME OR NOT T_LABEL MATCHES "^(unit|api|stress|conformance|system|golden)$")
		message(FATAL_ERROR "hakmem_add_test(${T_NAME}): NAME and a known LABEL are needed, not '${T_LABEL}'")
	endif()
	if(NOT T_SOURCES AND NOT T_SCRIPT)
		message(FATAL_ERROR "hakmem_add_test(${T_NAME}): SOURCES or SCRIPT is needed")
	endif()
	if(NOT T_TIMEOUT)
		set(T_TIMEOUT 60)
	endif()
	if(NOT T_LINK)
		set(T_LINK internal)
		if(T_PRELOAD OR T_SCRIPT)
			set(T_LINK none)
		endif()
	endif()
	if(NOT T_LINK MATCHES "^(internal|shared|static|none)$")
		message(FATAL_ERROR "hakmem_add_test(${T_NAME}): unknown LINK '${T_LINK}'")
	endif()

	if(T_NATIVE AND CMAKE_CROSSCOMPILING)
		message(STATUS "test ${T_NAME}: left out, native builds only")
		return()
	endif()
	if(HAKMEM_SANITIZE AND (T_SCRIPT OR T_PRELOAD OR T_LINK MATCHES "shared|static"))
		message(STATUS "test ${T_NAME}: left out, malloc belongs to the sanitizer here")
		return()
	endif()

	# Variables for the loader go on the command line, the others into the
	# test's environment (qemu's -E would split them at commas).
	set(loader_env ${T_ENV})
	list(FILTER loader_env INCLUDE REGEX "^LD_")
	set(plain_env ${T_ENV})
	list(FILTER plain_env EXCLUDE REGEX "^LD_")
	if(T_PRELOAD)
		list(APPEND loader_env "LD_PRELOAD=$<TARGET_FILE:hakmem>")
	endif()

	if(T_SCRIPT)
		hakmem_add_script_test()
		return()
	endif()

	set(target test_${T_NAME})
	add_executable(${target} ${T_SOURCES})
	target_link_libraries(${target} PRIVATE hakmem_test_flags)
	target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/tests)
	set_target_properties(${target} PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF CXX_STANDARD 17 CXX_EXTENSIONS OFF)
	if(T_LINK STREQUAL "internal")
		target_link_libraries(${target} PRIVATE hakmem_internal)
	elseif(T_LINK STREQUAL "shared")
		target_link_libraries(${target} PRIVATE hakmem)
	elseif(T_LINK STREQUAL "static")
		target_link_libraries(${target} PRIVATE hakmem_static)
	endif()
	if(T_PRELOAD)
		add_dependencies(${target} hakmem)
	endif()

	hakmem_test_command(command ${target} "" ${loader_env})
	set(name ${HAKMEM_TEST_PREFIX}${T_NAME})
	add_test(NAME ${name} COMMAND ${command} ${T_ARGS})
	hakmem_test_properties(${name} ${T_LABEL} ${T_TIMEOUT} ${T_SERIAL} ${plain_env})

	if(NOT CMAKE_CROSSCOMPILING OR T_ONCE OR NOT T_LABEL MATCHES "^(unit|api)$")
		return()
	endif()
	foreach(page_size IN LISTS HAKMEM_TEST_PAGE_SIZES)
		set(paged ${name}.page${page_size})
		hakmem_test_command(command ${target} ${page_size} ${loader_env})
		add_test(NAME ${paged} COMMAND ${command} ${T_ARGS})
		hakmem_test_properties(${paged} "${T_LABEL};pages" ${T_TIMEOUT} ${T_SERIAL} ${plain_env})
	endforeach()
endfunction()

# Part of hakmem_add_test; reads its T_* variables.
macro(hakmem_add_script_test)
	get_filename_component(script ${T_SCRIPT} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
	list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)
	set(name ${HAKMEM_TEST_PREFIX}${T_NAME})
	add_test(NAME ${name} COMMAND bash ${script} ${T_ARGS})
	hakmem_test_properties(${name} ${T_LABEL} ${T_TIMEOUT} ${T_SERIAL}
		HAKMEM_SOURCE_DIR=${PROJECT_SOURCE_DIR}
		HAKMEM_BINARY_DIR=${PROJECT_BINARY_DIR}
		HAKMEM_SHARED_LIB=$<TARGET_FILE:hakmem>
		HAKMEM_STATIC_LIB=$<TARGET_FILE:hakmem_static>
		CC=${CMAKE_C_COMPILER} CXX=${CMAKE_CXX_COMPILER} EMULATOR=${emulator}
		CMAKE=${CMAKE_COMMAND} READELF=${CMAKE_READELF} NM=${CMAKE_NM}
		${plain_env})
endmacro()

# hakmem_mutant(out NAME SOURCE FROM TO): `out` is a copy of the source with a fault in it, for a
# test that must find it: TO stands for FROM, which is text of the source.
function(hakmem_mutant out name source from to)
	set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
	file(READ ${source} text)
	string(REPLACE "${from}" "${to}" mutant "${text}")
	if(mutant STREQUAL text)
		message(FATAL_ERROR "hakmem_mutant(${name}): ${source} has no '${from}'")
	endif()
	get_filename_component(stem ${source} NAME_WE)
	set(file ${CMAKE_CURRENT_BINARY_DIR}/${stem}_${name}.c)
	file(GENERATE OUTPUT ${file} CONTENT "${mutant}")
	set(${out} ${file} PARENT_SCOPE)
endfunction()
