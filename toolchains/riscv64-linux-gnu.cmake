# Cross build for 64-bit RISC-V with Debian's cross compiler; CTest runs the
# programs under qemu-user. There is no backend of its own for this machine: it
# shows that the generic one is enough.
#
#   HAKMEM_QEMU_CPU        the CPU that qemu plays
#   HAKMEM_QEMU_PAGE_SIZE  page size in bytes that it plays; empty: 4096
set(HAKMEM_CROSS_TRIPLE riscv64-linux-gnu)
set(CMAKE_SYSTEM_PROCESSOR riscv64)
set(HAKMEM_QEMU_CPU rv64 CACHE STRING "CPU that qemu-user emulates")
set(HAKMEM_QEMU_PROGRAM qemu-riscv64)
include("${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake")
