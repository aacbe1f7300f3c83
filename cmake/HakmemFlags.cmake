# Compile and link flags, as interface targets:
#   hakmem_warnings   the warnings, as errors unless HAKMEM_WERROR is off
#   hakmem_sanitize   the sanitizer that HAKMEM_SANITIZE names, or nothing
#   hakmem_code       what allocator code is compiled with
# None of them is installed or reaches a program that uses the library.

add_library(hakmem_warnings INTERFACE)
target_compile_options(hakmem_warnings INTERFACE
	-Wall -Wextra -Wshadow -Wundef -Wcast-qual -Wwrite-strings -Wvla
	$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
	$<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
	$<$<BOOL:${HAKMEM_WERROR}>:-Werror>)

add_library(hakmem_sanitize INTERFACE)
if(HAKMEM_SANITIZE)
	set_property(CACHE HAKMEM_SANITIZE PROPERTY STRINGS "" address undefined thread)
	if(NOT HAKMEM_SANITIZE MATCHES "^(address|undefined|thread)$")
		message(FATAL_ERROR "HAKMEM_SANITIZE is '${HAKMEM_SANITIZE}': address, undefined or thread is meant")
	endif()
	target_compile_options(hakmem_sanitize INTERFACE -fsanitize=${HAKMEM_SANITIZE})
	target_link_options(hakmem_sanitize INTERFACE -fsanitize=${HAKMEM_SANITIZE})
	if(HAKMEM_SANITIZE STREQUAL "undefined")
		target_compile_options(hakmem_sanitize INTERFACE -fno-sanitize-recover=all)
	elseif(HAKMEM_SANITIZE STREQUAL "thread")
		# A stand-alone fence is not modelled; worth a warning, not an error.
		target_compile_options(hakmem_sanitize INTERFACE $<$<C_COMPILER_ID:GNU>:-Wno-error=tsan>)
	endif()
endif()

# Coverage for libFuzzer; AFL++'s compiler has its own and passes over the option.
if(HAKMEM_FUZZ)
	if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
		message(FATAL_ERROR "HAKMEM_FUZZ needs clang, or AFL++'s afl-clang-fast")
	endif()
	target_compile_options(hakmem_sanitize INTERFACE
		-fsanitize=fuzzer-no-link -fsanitize=undefined -fno-sanitize-recover=all)
	target_link_options(hakmem_sanitize INTERFACE -fsanitize=undefined)
endif()

add_library(hakmem_code INTERFACE)
target_link_libraries(hakmem_code INTERFACE hakmem_warnings hakmem_sanitize)
target_compile_definitions(hakmem_code INTERFACE _GNU_SOURCE)
target_compile_options(hakmem_code INTERFACE
	-g
	-pthread
	-fvisibility=hidden
	# The allocator's own thread-local data must be reached without a call
	# that could allocate.
	-ftls-model=initial-exec
	-fno-semantic-interposition
	# Profilers walk through malloc by frame pointers.
	-fno-omit-frame-pointer
	# Or the compiler turns calloc's body into a call of calloc.
	-fno-builtin-malloc -fno-builtin-free -fno-builtin-calloc -fno-builtin-realloc
	-fno-builtin-aligned_alloc -fno-builtin-posix_memalign -fno-builtin-memalign)
