# What the cross toolchain files share. The caller sets HAKMEM_CROSS_TRIPLE,
# CMAKE_SYSTEM_PROCESSOR, HAKMEM_QEMU_CPU and HAKMEM_QEMU_PROGRAM.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${HAKMEM_CROSS_TRIPLE}-gcc)
# The C++ compiler serves tests only; the build does without it.
find_program(HAKMEM_CROSS_CXX ${HAKMEM_CROSS_TRIPLE}-g++)
mark_as_advanced(HAKMEM_CROSS_CXX)
if(HAKMEM_CROSS_CXX)
	set(CMAKE_CXX_COMPILER ${HAKMEM_CROSS_CXX})
endif()

# Debian keeps the target's packages beside the host's, told apart by this
# directory name; without it find_package would see the host's libraries.
set(CMAKE_LIBRARY_ARCHITECTURE ${HAKMEM_CROSS_TRIPLE})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

set(HAKMEM_QEMU_PAGE_SIZE "" CACHE STRING "Page size in bytes that qemu-user shows; empty: its default")
# qemu forks its guest with whatever locks its other threads hold. GLib's slices, of which
# qemu 7.2 allocates while it translates, have such locks; malloc is whole after a fork.
set(CMAKE_CROSSCOMPILING_EMULATOR env G_SLICE=always-malloc ${HAKMEM_QEMU_PROGRAM} -L /usr/${HAKMEM_CROSS_TRIPLE} -cpu ${HAKMEM_QEMU_CPU})
if(HAKMEM_QEMU_PAGE_SIZE)
	list(APPEND CMAKE_CROSSCOMPILING_EMULATOR -p ${HAKMEM_QEMU_PAGE_SIZE})
endif()
