# Install rules, the CMake package, the pkg-config file and the Debian package.
#
# Every path in an installed file is relative to that file, so a tree can be
# moved, or installed with another --prefix than it was configured with.
include(CMakePackageConfigHelpers)

set(hakmem_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/hakmem)

install(TARGETS hakmem hakmem_static EXPORT hakmem
	LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
	ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/hakmem DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/hakmem RENAME copyright)

if(TARGET hakmem_command)
	install(TARGETS hakmem_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
	file(GLOB hakmem_man_pages ${PROJECT_SOURCE_DIR}/tools/man/*.1)
	install(FILES ${hakmem_man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
	install(FILES tools/completion/hakmem.bash RENAME hakmem
		DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
	if(NOT hakmem_uplot_js STREQUAL "NONE") # it is inside the command
		install(FILES ${HAKMEM_UPLOT_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/hakmem RENAME copyright.uPlot)
	endif()
	set(hakmem_zsh_dir site-functions)
	if(EXISTS /etc/debian_version)
		set(hakmem_zsh_dir vendor-completions)
	endif()
	install(FILES tools/completion/_hakmem DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/${hakmem_zsh_dir})
endif()

install(EXPORT hakmem NAMESPACE hakmem:: FILE hakmem-targets.cmake DESTINATION ${hakmem_cmake_dir})
configure_package_config_file(cmake/hakmem-config.cmake.in hakmem-config.cmake
	INSTALL_DESTINATION ${hakmem_cmake_dir})
write_basic_package_version_file(hakmem-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
	${PROJECT_BINARY_DIR}/hakmem-config.cmake
	${PROJECT_BINARY_DIR}/hakmem-config-version.cmake
	DESTINATION ${hakmem_cmake_dir})

# From the directory of the .pc file back to the prefix.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
	set(hakmem_pc_prefix ${CMAKE_INSTALL_PREFIX})
	set(hakmem_pc_libdir ${CMAKE_INSTALL_LIBDIR})
else()
	file(RELATIVE_PATH hakmem_pc_up /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)
	string(REGEX REPLACE "/$" "" hakmem_pc_up ${hakmem_pc_up})
	set(hakmem_pc_prefix "\${pcfiledir}/${hakmem_pc_up}")
	set(hakmem_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
	set(hakmem_pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
else()
	set(hakmem_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/hakmem.pc.in hakmem.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/hakmem.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# --- cpack: one Debian package ------------------------------------------------
if(NOT PROJECT_IS_TOP_LEVEL)
	return()
endif()
set(hakmem_deb_arch ${CMAKE_SYSTEM_PROCESSOR})
if(HAKMEM_ARCH STREQUAL "x86_64")
	set(hakmem_deb_arch amd64)
elseif(HAKMEM_ARCH STREQUAL "aarch64")
	set(hakmem_deb_arch arm64)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME hakmem)
set(CPACK_PACKAGE_CONTACT "the hakmem authors <hakmem@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGE_DESCRIPTION
"hakmem replaces the C library's malloc: preload libhakmem.so into a program, or
link with it. This package has the shared and the static library, the header, the files
for CMake and pkg-config, and the command `hakmem`, which runs programs on it,
watches them and commands them.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE ${hakmem_deb_arch})
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
# Written by hand: dpkg-shlibdeps knows no cross-built library. The C library is
# all that is needed; since 2.34 it holds the thread functions too.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= 2.34)")
if(CURSES_FOUND)
	string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", libncurses6, libtinfo6")
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/cmake/debian/triggers)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
