# Files as constants of C, made when CMake runs, and again when one has changed.
#
#   hakmem_embed(OUT HEADER TYPE NAME FILE [NAME FILE]...)
#
# OUT defines, for each NAME, `const struct TYPE NAME = { text, length }` of HEADER. For NONE in place of a FILE the text
# is empty. The files go into a page between tags, so none may have the end of a script in it.
function(hakmem_embed out header type)
	set(text "/* Made by CMake: do not edit. */\n#include \"${header}\"\n")
	set(rest ${ARGN})
	while(rest)
		list(POP_FRONT rest name file)
		set(bytes "")
		set(length 0)
		if(NOT file STREQUAL "NONE")
			set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
			file(READ ${file} content)
			if(content MATCHES "</(script|style)")
				message(FATAL_ERROR "${file}: it cannot stand in a page")
			endif()
			file(READ ${file} bytes HEX)
			string(LENGTH "${bytes}" length)
			math(EXPR length "${length} / 2")
			string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
			string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1, " bytes "${bytes}")
		endif()
		string(APPEND text "\nstatic const unsigned char bytes_${name}[] = {\n${bytes}0\n};\n"
			"const struct ${type} ${name} = { (const char *)bytes_${name}, ${length} };\n")
	endwhile()
	file(CONFIGURE OUTPUT ${out} CONTENT "${text}" @ONLY)
endfunction()
