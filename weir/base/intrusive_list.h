// IntrusiveList: a doubly linked list whose links live in the elements, so membership costs no allocation.
//
// An element derives from ListNode<Tag> and leaves its list when destroyed, so nothing dangles. An element can be
// in one list for each Tag. Not thread-safe. Every operation but size() is O(1).
//
//   struct Waiter : base::ListNode<> { ... };
//   base::IntrusiveList<Waiter> ready;
//   ready.push_back(waiter);
#ifndef WEIR_BASE_INTRUSIVE_LIST_H_
#define WEIR_BASE_INTRUSIVE_LIST_H_

#include <cstddef>

#include "weir/base/check.h"

namespace weir::base {

struct DefaultTag {};

template <class Tag = DefaultTag>
class ListNode {
 public:
  ListNode() noexcept = default;
  ListNode(const ListNode&) = delete;  // a copy would be linked where the original is
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  bool linked() const noexcept { return next_ != this; }
  void unlink() noexcept {
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = this;
  }

 private:
  template <class T, class ListTag>
  friend class IntrusiveList;

  void link_before(ListNode& next) noexcept {
    WEIR_DCHECK(!linked());
    prev_ = next.prev_;
    next_ = &next;
    prev_->next_ = this;
    next.prev_ = this;
  }

  ListNode* prev_ = this;
  ListNode* next_ = this;
};

template <class T, class Tag = DefaultTag>
class IntrusiveList {
 public:
  using Node = ListNode<Tag>;

  IntrusiveList() noexcept = default;
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    while (!empty()) head_.next_->unlink();
  }

  bool empty() const noexcept { return !head_.linked(); }
  T& front() noexcept { return static_cast<T&>(*head_.next_); }
  T& back() noexcept { return static_cast<T&>(*head_.prev_); }
  void push_back(T& element) noexcept { static_cast<Node&>(element).link_before(head_); }
  void push_front(T& element) noexcept { static_cast<Node&>(element).link_before(*head_.next_); }
  T& pop_front() noexcept {
    WEIR_CHECK(!empty());
    T& element = front();
    static_cast<Node&>(element).unlink();
    return element;
  }
  // Takes all of `other`, keeping order. O(1).
  void splice_back(IntrusiveList& other) noexcept {
    if (other.empty()) return;
    Node* first = other.head_.next_;
    Node* last = other.head_.prev_;
    other.head_.prev_ = other.head_.next_ = &other.head_;
    first->prev_ = head_.prev_;
    head_.prev_->next_ = first;
    last->next_ = &head_;
    head_.prev_ = last;
  }
  std::size_t size() const noexcept {
    std::size_t count = 0;
    for (const Node* node = head_.next_; node != &head_; node = node->next_) ++count;
    return count;
  }
  // Calls `visit` for each; `visit` may unlink or destroy the element it is given, but no other.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (Node* node = head_.next_; node != &head_;) {
      Node* next = node->next_;
      visit(static_cast<T&>(*node));
      node = next;
    }
  }

 private:
  Node head_;
};

}  // namespace weir::base

#endif  // WEIR_BASE_INTRUSIVE_LIST_H_
