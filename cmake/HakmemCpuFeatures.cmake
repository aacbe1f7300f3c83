# cpu_features, if it is installed: one relocatable object that is safe inside an
# allocator and can be merged into the shared and the static library alike.
#
# Sets HAKMEM_CPU_FEATURES_OBJECT (path; empty without the library) and makes the target
# hakmem_cpu_features_object that builds it, and the lists
# HAKMEM_CPU_FEATURES_DEFINITIONS and _OPTIONS that src/arch/ is compiled with.
#
# Made of the archive in three steps:
#  1. `ld -r` takes the members that the entry points below need.
#  2. The entry points get the prefix hak_cf_; everything else becomes local. A
#     program that links both libhakmem.a and cpu_features gets no clash.
#     Where the archive was built with its debug messages on (Debian's, for
#     64-bit Arm), it prints on stdout, and stdio then allocates, inside our
#     own start-up: those calls are pointed at src/arch/aarch64/cf_stubs.c.
set(HAKMEM_CPU_FEATURES_OBJECT "")
set(HAKMEM_CPU_FEATURES_DEFINITIONS "")
set(HAKMEM_CPU_FEATURES_OPTIONS "")
set(hakmem_cf_entries "")
set(hakmem_cf_redirects "")
if(HAKMEM_ARCH STREQUAL "x86_64")
	set(hakmem_cf_entries GetX86Info GetX86CacheInfo)
elseif(HAKMEM_ARCH STREQUAL "aarch64")
	set(hakmem_cf_entries GetAarch64Info)
	set(hakmem_cf_redirects
		puts=hak_cf_puts
		printf=hak_cf_printf
		__printf_chk=hak_cf_printf_chk
		fflush=hak_cf_fflush
		stdout=hak_cf_stdout)
else()
	message(STATUS "cpu_features: not used, the generic backend detects nothing")
	return()
endif()

if(NOT HAKMEM_CPU_FEATURES)
	message(STATUS "cpu_features: switched off; the built-in detection is used, and detects less "
		"(no cache geometry, fewer instruction sets)")
	return()
endif()
find_package(CpuFeatures CONFIG QUIET)
if(NOT CpuFeatures_FOUND)
	message(STATUS "cpu_features: NOT FOUND; the built-in detection is used, and detects less "
		"(no cache geometry, fewer instruction sets). Debian has it as libcpu-features-dev")
	return()
endif()
message(STATUS "cpu_features: ${CpuFeatures_DIR}")

set(HAKMEM_CPU_FEATURES_OBJECT ${PROJECT_BINARY_DIR}/cpu_features/cpu_features.o)
set(hakmem_cf_ld "")
set(hakmem_cf_objcopy "")
set(HAKMEM_CPU_FEATURES_DEFINITIONS HAKMEM_HAVE_CPU_FEATURES=1)
foreach(entry IN LISTS hakmem_cf_entries)
	list(APPEND hakmem_cf_ld -u ${entry})
	list(APPEND hakmem_cf_redirects ${entry}=hak_cf_${entry})
	list(APPEND hakmem_cf_keep --keep-global-symbol=hak_cf_${entry})
	list(APPEND HAKMEM_CPU_FEATURES_DEFINITIONS ${entry}=hak_cf_${entry})
endforeach()
foreach(redirect IN LISTS hakmem_cf_redirects)
	list(APPEND hakmem_cf_objcopy --redefine-sym ${redirect})
endforeach()
get_target_property(hakmem_cf_include CpuFeatures::cpu_features INTERFACE_INCLUDE_DIRECTORIES)
foreach(dir IN LISTS hakmem_cf_include)
	list(APPEND HAKMEM_CPU_FEATURES_OPTIONS -isystem ${dir})
endforeach()
get_target_property(hakmem_cf_definitions CpuFeatures::cpu_features INTERFACE_COMPILE_DEFINITIONS)
if(hakmem_cf_definitions)
	list(APPEND HAKMEM_CPU_FEATURES_DEFINITIONS ${hakmem_cf_definitions})
endif()

file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/cpu_features)
add_custom_command(OUTPUT ${HAKMEM_CPU_FEATURES_OBJECT}
	BYPRODUCTS ${HAKMEM_CPU_FEATURES_OBJECT}.whole ${HAKMEM_CPU_FEATURES_OBJECT}.renamed
	COMMAND ${HAKMEM_LD} -r ${hakmem_cf_ld} -o ${HAKMEM_CPU_FEATURES_OBJECT}.whole
		$<TARGET_FILE:CpuFeatures::cpu_features>
	COMMAND ${HAKMEM_OBJCOPY} --strip-debug ${hakmem_cf_objcopy}
		${HAKMEM_CPU_FEATURES_OBJECT}.whole ${HAKMEM_CPU_FEATURES_OBJECT}.renamed
	COMMAND ${HAKMEM_OBJCOPY} ${hakmem_cf_keep}
		${HAKMEM_CPU_FEATURES_OBJECT}.renamed ${HAKMEM_CPU_FEATURES_OBJECT}
	DEPENDS $<TARGET_FILE:CpuFeatures::cpu_features>
	COMMENT "Preparing cpu_features for use inside the allocator"
	VERBATIM)
add_custom_target(hakmem_cpu_features_object DEPENDS ${HAKMEM_CPU_FEATURES_OBJECT})
