# HAKMEM_LD and HAKMEM_OBJCOPY: GNU binutils for the target, which join and rename
# relocatable objects. Asked of the compiler, since CMAKE_LINKER may name another
# linker that needs more options to do `ld -r`.
foreach(tool ld objcopy)
	string(TOUPPER HAKMEM_${tool} variable)
	if(NOT ${variable})
		execute_process(COMMAND ${CMAKE_C_COMPILER} -print-prog-name=${tool}
			OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE)
		find_program(${variable} NAMES ${path} REQUIRED)
		mark_as_advanced(${variable})
	endif()
endforeach()
