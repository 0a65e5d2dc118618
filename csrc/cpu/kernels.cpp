// Compiled once per instruction set, with SEMIDEEP_ISA naming the namespace (see core/portable.h). No
// standard-library template may be used here or in what this file includes: the linker could pick the copy
// compiled for a newer instruction set for code that must run on an older machine.
#include "cpu/count_sum_task.h"
#include "cpu/log_sum_task.h"
#include "cpu/panel_gradient_task.h"
#include "cpu/panel_sum_task.h"
#include "cpu/sum_task.h"

SEMIDEEP_MATH_BEGIN
namespace {

// Metrics of sets take all values but 0 for one.
void note_merged(const Problem& p) {
  if (p.merged) note(*p.merged);
}

template <class V, class Metric>
void describe(const Problem& p, const Side& side, int64_t batch, int64_t begin, int64_t end,
              void* infos) {
  using S = Lane<V>;
  with_element_type(p.dtype, [&](auto* type) {
    using T = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
    for (int64_t at = begin; at < end; ++at)
      static_cast<RowInfo<S>*>(infos)[at] =
          Metric::Row::template describe<S>(RowReader<S, T>(p, side, batch, at), p.features);
    if constexpr (Metric::sum_of == SumOf::common)
      for (int64_t at = begin; at < end; ++at)
        if (!are_bits(count_row<T>(side, batch, at), p.features)) return note_merged(p);
  });
}

template <class S>
void add_parameters(const Problem& p, int64_t batch, int64_t blocks, const void* by_parameter) {
  for (int64_t l = 0; l < p.parameters; ++l) {
    S sum(0.0);
    for (int64_t block = 0; block < blocks; ++block)
      sum = sum + static_cast<const S*>(by_parameter)[block * p.parameters + l];
    p.parameter_gradient[batch * p.parameters + l] = result_of(sum);
  }
}

// What every task offers.
template <class T, class V, class Metric>
BlockKernel common_kernel(const Problem& p) {
  using S = typename T::S;
  using Workspace = typename T::Workspace;
  BlockKernel kernel;
  kernel.scalar_bytes = sizeof(S);
  kernel.info_bytes = Metric::Row::has_info ? sizeof(RowInfo<Lane<V>>) : 0;
  kernel.block_rows = T::block_rows(p);
  kernel.workspace_bytes = T::workspace_bytes(p);
  kernel.width = &T::width;
  kernel.describe = &describe<V, Metric>;
  kernel.run = [](const Problem& p, const Block& block, void* workspace, void* partial) {
    T::run(p, block, *static_cast<Workspace*>(workspace), static_cast<S*>(partial));
  };
  kernel.merge = [](int64_t scalars, void* total, const void* part) {
    T::merge(scalars, static_cast<S*>(total), static_cast<const S*>(part));
  };
  kernel.store = [](const Problem& p, const Block& block, const void* total, void* by_parameter) {
    T::store(p, block, static_cast<const S*>(total), static_cast<S*>(by_parameter));
  };
  kernel.add_parameters = &add_parameters<S>;
  return kernel;
}

// Tasks on doubles, of which each run packs what it needs.
template <class T, class V, class Metric>
BlockKernel block_kernel(const Problem& p) {
  BlockKernel kernel = common_kernel<T, V, Metric>(p);
  kernel.span_columns = kMostSpanColumns;
  return kernel;
}

// Tasks on tiles of elements E, whose right rows are packed beforehand.
template <class T, class Metric, class E>
BlockKernel panel_kernel(const Problem& p) {
  const PanelLayout<E> layout(p, Metric::Row::has_info);
  BlockKernel kernel = common_kernel<T, Vec, Metric>(p);
  kernel.panel_columns = kColumnsOf<E>;
  kernel.panel_bytes = layout.panel * static_cast<int64_t>(sizeof(E));
  kernel.span_columns = span_columns(T::kSpanBytes, kernel.panel_bytes, kernel.panel_columns);
  const bool center = layout.products || Metric::Row::has_info;
  kernel.plan_bytes = center ? (p.features + 1) * static_cast<int64_t>(sizeof(E)) : 0;
  kernel.plan = [](const Problem& p, int64_t batch, const void*, void* right, void* plan) {
    with_element_type(p.dtype, [&](auto* type) {
      using Given = std::remove_cv_t<std::remove_pointer_t<decltype(type)>>;
      find_center<Metric, E, Given>(p, batch, right, static_cast<E*>(plan));
    });
  };
  kernel.pack = [](const Problem& p, const Block& span, int64_t begin, int64_t end, void* packed) {
    pack_panels<Metric>(p, span, begin, end, T::kTranslates, static_cast<E*>(packed));
  };
  kernel.enter = [](const Problem& p, const Block& block, void* workspace) {
    T::enter(p, block, *static_cast<typename T::Workspace*>(workspace));
  };
  return kernel;
}

template <class Metric, class Kernel, class Tile>
BlockKernel panel_gradient(const Problem& p) {
  using E = typename Tile::Element;
  if (products_suit_gradients<Metric>(p))
    return panel_kernel<PanelGradientTask<Metric, Kernel, Tile, true>, Metric, E>(p);
  return panel_kernel<PanelGradientTask<Metric, Kernel, Tile, false>, Metric, E>(p);
}

// Tasks on words, whose right rows are coded beforehand.
template <class T, class Element, class Metric>
BlockKernel count_kernel(const Problem& p) {
  BlockKernel kernel = common_kernel<T, Vec, Metric>(p);
  kernel.info_bytes = count_info_bytes(p);
  kernel.describe = [](const Problem& p, const Side& side, int64_t batch, int64_t begin,
                       int64_t end, void* infos) {
    for (int64_t at = begin; at < end; ++at) {
      CountInfo& info = count_info(p, infos, at);
      describe_count(count_row<Element>(side, batch, at), p.features, T::kCommon, keeps_bits(p),
                     info);
      if (T::kCommon && (info.needs & kNotBits)) note_merged(p);
    }
  };
  kernel.panel_columns = kPanelColumns;
  kernel.panel_bytes =
      CountLayout<Element>(p, Metric::sum_of).panel * static_cast<int64_t>(sizeof(uint32_t));
  kernel.span_columns = span_columns(T::kSpanBytes, kernel.panel_bytes, kPanelColumns);
  using Columns = ColumnCodes<Element>;
  kernel.plan_bytes = sizeof(CountPlan);
  kernel.plan = [](const Problem& p, int64_t batch, const void* left, void* right, void* plan) {
    CountPlan& counts = *static_cast<CountPlan*>(plan);
    counts = plan_counts(p, Metric::sum_of, Columns::pays(p), left, right);
    if constexpr (T::kSets) {
      if (SetTables::order(p)) order_by_size(p, right);
      if (SetTables::pay(p)) T::fill(p, batch, SetTables(&counts + 1, p.features));
    }
  };
  if (T::kSets && SetTables::pay(p)) kernel.plan_bytes += SetTables::bytes(p);
  if (Metric::sum_of == SumOf::unequal && Columns::pays(p)) {
    kernel.plan_bytes += Columns::bytes(p);
    kernel.column_chunks = (p.features + kChunkColumns - 1) / kChunkColumns;
    kernel.learn = [](const Problem& p, int64_t batch, int64_t chunk, void* plan) {
      CountPlan& counts = *static_cast<CountPlan*>(plan);
      if (counts.learns) Columns(&counts + 1, p.features).learn(p, batch, chunk, counts.learnt);
    };
  }
  kernel.pack = [](const Problem& p, const Block& span, int64_t begin, int64_t end, void* packed) {
    pack_count_panels<Element>(p, Metric::sum_of, span, begin, end, static_cast<uint32_t*>(packed));
  };
  kernel.enter = [](const Problem& p, const Block& block, void* workspace) {
    T::enter(p, block, *static_cast<typename T::Workspace*>(workspace));
  };
  return kernel;
}

template <class Metric, class Kernel, class Element, bool HasVpopcnt>
bool find_count_task(const Problem& p, BlockKernel* found) {
  using T = CountSumTask<Metric, Kernel, Element, HasVpopcnt>;
  if (!T::suits(p)) return false;
  *found = count_kernel<T, Element, Metric>(p);
  return true;
}

template <class V, class Metric, class Kernel>
bool find_task(const Problem& p, [[maybe_unused]] bool has_vpopcnt, BlockKernel* found) {
  constexpr bool exponential = Kernel::exponential && !kIsDual<V>;
  if constexpr (kHasCounts && kCountsFeatures<Metric> && exponential) {
#if defined(__AVX512F__)
    if (has_vpopcnt && p.task == Task::sum &&
        (find_count_task<Metric, Kernel, float, true>(p, found) ||
         find_count_task<Metric, Kernel, double, true>(p, found)))
      return true;
#endif
    if (p.task == Task::sum && (find_count_task<Metric, Kernel, float, false>(p, found) ||
                                find_count_task<Metric, Kernel, double, false>(p, found)))
      return true;
  }
  if constexpr (kHasFma && Metric::sum_of == SumOf::squares && exponential) {
    if (p.task == Task::sum && suits_float_sums(p) && !doubles_are_faster<Metric>(p)) {
      *found = panel_kernel<PanelSumTask<FloatTile<Metric>, Kernel>, Metric, float>(p);
      return true;
    }
    if (p.task == Task::sum && suits_double_sums(p)) {
      *found = panel_kernel<PanelSumTask<DoubleTile<Metric>, Kernel>, Metric, double>(p);
      return true;
    }
    if (p.task == Task::gradient && suits_float_gradients(p) && !doubles_are_faster<Metric>(p)) {
      *found = panel_gradient<Metric, Kernel, FloatTile<Metric, true>>(p);
      return true;
    }
    if (p.task == Task::gradient && suits_double_gradients(p)) {
      *found = panel_gradient<Metric, Kernel, DoubleTile<Metric, true>>(p);
      return true;
    }
  }
  if (p.task == Task::sum) {
    *found = block_kernel<SumTask<V, Metric, Kernel>, V, Metric>(p);
  } else if (p.task == Task::gradient) {
    *found = block_kernel<GradientTask<V, Metric, Kernel>, V, Metric>(p);
  } else {
    // The gradient of log_sum is a gradient with shift; along tangents nobody asks for log_sum itself.
    constexpr bool exists = Kernel::has_log && !kIsDual<V>;
    if constexpr (exists) *found = block_kernel<LogSumTask<V, Metric, Kernel>, V, Metric>(p);
    return exists;
  }
  return true;
}

}  // namespace

// False if the lists have no such metric or kernel, or the kernel has no such task.
bool find_block_kernel(const Problem& p, bool has_vpopcnt, BlockKernel* found) {
  bool exists = false;
  visit(Metrics{}, p.metric, [&]<class Metric>() {
    visit(Kernels{}, p.kernel, [&]<class Kernel>() {
      exists = p.tangent ? find_task<Dual<Vec>, Metric, Kernel>(p, has_vpopcnt, found)
                         : find_task<Vec, Metric, Kernel>(p, has_vpopcnt, found);
    });
  });
  return exists;
}
SEMIDEEP_MATH_END
