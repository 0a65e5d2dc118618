# Toolchain (cmake --toolchain cmake/aarch64.cmake): cross-compiles for 64-bit ARM, whose `default` kernels
# are NEON, and lets ctest run them in QEMU.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
find_program(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
find_program(CMAKE_CROSSCOMPILING_EMULATOR NAMES qemu-aarch64 qemu-aarch64-static)
if(NOT CMAKE_CXX_COMPILER)
  message(FATAL_ERROR "There is no aarch64-linux-gnu-g++ here: apt install g++-aarch64-linux-gnu")
endif()
if(NOT CMAKE_CROSSCOMPILING_EMULATOR)
  message(FATAL_ERROR "There is no qemu-aarch64 here: apt install qemu-user")
endif()
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)  # QEMU would look for ARM's shared libraries in /lib
