// Run-time view of the compile-time lists of metrics and kernels.
#pragma once

#include <string_view>

#include "core/kernels.h"

SEMIDEEP_MATH_BEGIN

template <class Visitor, class... Items>
inline void for_each(TypeList<Items...>, Visitor&& visitor) {
  (visitor.template operator()<Items>(), ...);
}

// The position of the item of that name, or -1.
template <class List>
inline int position_of(List list, std::string_view name) {
  int position = -1, at = 0;
  for_each(list, [&]<class Item>() {
    if (name == Item::name) position = at;
    ++at;
  });
  return position;
}

SEMIDEEP_MATH_END
