#include "cpu/capability.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace semideep::cpu {
namespace {

constexpr Capability kAll[] = {Capability::default_, Capability::avx2, Capability::avx512,
                               Capability::avx512_vpopcntdq};

Capability requested_capability() {
  const Capability best = machine_capability();
  const char* asked = std::getenv("SEMIDEEP_CPU_CAPABILITY");
  if (!asked || !*asked) return best;
  for (const Capability capability : kAll) {
    if (std::string(asked) != name(capability)) continue;
    if (capability > best)
      throw std::runtime_error(
          std::string("SEMIDEEP_CPU_CAPABILITY=") + asked +
          " asks for instructions that this machine or build lacks; the best it has is '" +
          name(best) + "': set that, or unset the variable");
    return capability;
  }
  throw std::runtime_error(
      std::string("SEMIDEEP_CPU_CAPABILITY='") + asked +
      "' is unknown: set it to default, avx2, avx512 or avx512_vpopcntdq, or unset it");
}

}  // namespace

const char* name(Capability capability) {
  switch (capability) {
    case Capability::avx512_vpopcntdq:
      return "avx512_vpopcntdq";
    case Capability::avx512:
      return "avx512";
    case Capability::avx2:
      return "avx2";
    default:
      return "default";
  }
}

Capability machine_capability() {
#if SEMIDEEP_HAVE_X86
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512)
    return __builtin_cpu_supports("avx512vpopcntdq") ? Capability::avx512_vpopcntdq
                                                     : Capability::avx512;
  if (avx2) return Capability::avx2;
#endif
  return Capability::default_;
}

Capability active_capability() {
  static const Capability capability = requested_capability();
  return capability;
}

}  // namespace semideep::cpu
