// edgecompile.hpp: a C++17 face of edgecompile.h. Instances close themselves; failures are exceptions.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "edgecompile.h"

namespace edgecompile {

class Error : public std::runtime_error {
 public:
  Error(ec_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  ec_status status() const noexcept { return status_; }

 private:
  ec_status status_;
};

using Bytes = std::vector<std::byte>;

// One opened network. Movable, not copyable. `run` may be called from several threads: the library serialises them.
class Network {
 public:
  struct Options {
    int threads = 1;
    std::string weights_path;  // empty: the weights are embedded
  };

  // Throws Error.
  Network(const ec_network* network, const Options& options) : network_(network) {
    ec_options raw = EC_OPTIONS_DEFAULT;
    raw.threads = options.threads;
    if (!options.weights_path.empty()) raw.weights_path = options.weights_path.c_str();
    ec_instance* opened = nullptr;
    check(ec_open(network, &raw, &opened));
    instance_.reset(opened);
  }

  std::size_t input_count() const noexcept { return ec_input_count(network_); }
  std::size_t output_count() const noexcept { return ec_output_count(network_); }
  const ec_tensor_info& input(std::size_t index) const { return need(ec_input(network_, index)); }
  const ec_tensor_info& output(std::size_t index) const { return need(ec_output(network_, index)); }

  // One buffer for each input, of that input's size. Throws Error, or std::invalid_argument when a size differs.
  std::vector<Bytes> run(const std::vector<Bytes>& inputs) {
    if (inputs.size() != input_count()) {
      throw std::invalid_argument("needed " + std::to_string(input_count()) + " inputs, found " +
                                  std::to_string(inputs.size()));
    }
    std::vector<const void*> in;
    for (std::size_t i = 0; i < inputs.size(); i++) {
      if (inputs[i].size() != input(i).bytes) {
        throw std::invalid_argument(std::string(input(i).name) + " needs " + std::to_string(input(i).bytes) +
                                    " bytes, found " + std::to_string(inputs[i].size()));
      }
      in.push_back(inputs[i].data());
    }
    std::vector<Bytes> outputs;
    for (std::size_t i = 0; i < output_count(); i++) outputs.emplace_back(output(i).bytes);
    std::vector<void*> out;
    for (Bytes& output : outputs) out.push_back(output.data());
    check(ec_run(instance_.get(), in.data(), out.data()));
    return outputs;
  }

 private:
  struct Close {
    void operator()(ec_instance* instance) const noexcept { ec_close(instance); }
  };

  static void check(ec_status status) {
    if (status != EC_OK) throw Error(status, ec_last_error());
  }

  static const ec_tensor_info& need(const ec_tensor_info* info) {
    if (info == nullptr) throw std::out_of_range("the network has no such tensor");
    return *info;
  }

  const ec_network* network_;
  std::unique_ptr<ec_instance, Close> instance_;
};

}  // namespace edgecompile
