// semideep_ext._C: introspection only. The ops themselves are registered with torch (torch/ops.cpp).
#include <pybind11/pybind11.h>

#include "build_facts.h"
#include "core/registry.h"
#include "cpu/capability.h"

namespace py = pybind11;

namespace {

const char* name(semideep::SumOf sum_of) {
  switch (sum_of) {
    case semideep::SumOf::squares:
      return "squares";
    case semideep::SumOf::unequal:
      return "unequal";
    case semideep::SumOf::common:
      return "common";
    case semideep::SumOf::other:
      break;
  }
  return "other";
}

py::list metrics() {
  py::list list;
  semideep::for_each(semideep::Metrics{}, [&]<class Metric>() {
    py::dict entry;
    entry["name"] = Metric::name;
    entry["formula"] = Metric::formula;
    entry["domain"] = Metric::domain;
    entry["differentiable"] = Metric::differentiable;
    entry["sum_of"] = name(Metric::sum_of);
    list.append(entry);
  });
  return list;
}

py::list kernels() {
  py::list list;
  semideep::for_each(semideep::Kernels{}, [&]<class Kernel>() {
    py::dict entry;
    entry["name"] = Kernel::name;
    entry["formula"] = Kernel::formula;
    entry["parameter"] = Kernel::parameter;
    entry["has_log"] = Kernel::has_log;
    entry["exponential"] = Kernel::exponential;
    list.append(entry);
  });
  return list;
}

py::dict build_facts() {
  py::dict facts;
  for (const auto& fact : semideep::kBuildFacts) facts[fact.name] = fact.value;
  return facts;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "What semideep_ext was built with and what it chose at run time.";
  m.def("metrics", &metrics, "The metrics, in the order of csrc/core/metrics.h.");
  m.def("kernels", &kernels, "The kernel functions, in the order of csrc/core/kernels.h.");
  m.def("build_facts", &build_facts, "Compiler, flags and versions of this build.");
  m.def(
      "cpu_capability", [] { return semideep::cpu::name(semideep::cpu::active_capability()); },
      "The instruction set in use.");
  m.def(
      "machine_capability", [] { return semideep::cpu::name(semideep::cpu::machine_capability()); },
      "The best instruction set that this build and this machine have.");
}
