// Which instruction set the CPU kernels use.
#pragma once

namespace semideep::cpu {

enum class Capability { default_, avx2, avx512 };

const char* name(Capability);

// The best one that both this build and this machine have.
Capability machine_capability();

// machine_capability(), or what SEMIDEEP_CPU_CAPABILITY=default|avx2|avx512 asks for. Throws
// std::runtime_error if that is unknown or beyond the machine. Read once.
Capability active_capability();

}  // namespace semideep::cpu
