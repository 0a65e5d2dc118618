// Which instruction set the CPU kernels use.
#pragma once

namespace semideep::cpu {

// avx512_vpopcntdq is avx512 with that one instruction more.
enum class Capability { default_, avx2, avx512, avx512_vpopcntdq };

const char* name(Capability);

// The best one that both this build and this machine have.
Capability machine_capability();

// machine_capability(), or what SEMIDEEP_CPU_CAPABILITY asks for by name. Throws
// std::runtime_error if that is unknown or beyond the machine. Read once.
Capability active_capability();

}  // namespace semideep::cpu
