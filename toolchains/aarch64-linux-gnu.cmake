# Cross build for 64-bit Arm with Debian's cross compiler; CTest runs the
# programs under qemu-user.
#
#   HAKMEM_QEMU_CPU        the CPU that qemu plays (max, cortex-a72, neoverse-n1, ...)
#   HAKMEM_QEMU_PAGE_SIZE  page size in bytes that it plays; empty: 4096
set(HAKMEM_CROSS_TRIPLE aarch64-linux-gnu)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(HAKMEM_QEMU_CPU max CACHE STRING "CPU that qemu-user emulates")
set(HAKMEM_QEMU_PROGRAM qemu-aarch64)
include("${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake")
