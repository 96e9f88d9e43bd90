// main.cpp: a C++ program that runs a network made by edgecompile. Copy it with edgecompile.hpp and CMakeLists.txt.
//
//     cmake -S . -B build -DARTIFACT=/path/to/artifact -DNETWORK=digits && cmake --build build
//     build/sample WEIGHTS|- [INPUT.raw ...]
//
// WEIGHTS is the artifact's weights.bin, or "-" when they are embedded. Each INPUT.raw holds one input tensor, dense and
// row-major; without them the inputs are zeros.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "edgecompile.hpp"
#include NETWORK_HEADER  // "<name>.h", from CMakeLists.txt

namespace {

edgecompile::Bytes read_raw(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  const std::vector<char> text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  edgecompile::Bytes bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

void print(const ec_tensor_info& info, const edgecompile::Bytes& data) {
  std::printf("%s:", info.name);
  const std::size_t shown = 8;
  if (info.dtype == EC_FLOAT32) {
    std::vector<float> values(data.size() / sizeof(float));
    if (!values.empty()) std::memcpy(values.data(), data.data(), values.size() * sizeof(float));
    for (std::size_t i = 0; i < std::min(shown, values.size()); i++) std::printf(" %.6g", static_cast<double>(values[i]));
  } else {
    for (std::size_t i = 0; i < std::min(shown, data.size()); i++) std::printf(" %02x", static_cast<unsigned>(data[i]));
  }
  std::printf("\n");
}

void infer(const std::vector<std::string>& words) {
  edgecompile::Network::Options options;
  options.threads = 2;
  if (words[0] != "-") options.weights_path = words[0];
  edgecompile::Network net(NETWORK(), options);

  std::vector<edgecompile::Bytes> inputs;
  for (std::size_t i = 0; i < net.input_count(); i++) {
    inputs.push_back(words.size() > 1 ? read_raw(words.at(1 + i)) : edgecompile::Bytes(net.input(i).bytes));
  }
  const auto start = std::chrono::steady_clock::now();
  const std::vector<edgecompile::Bytes> outputs = net.run(inputs);
  const std::chrono::duration<double, std::milli> duration = std::chrono::steady_clock::now() - start;

  for (std::size_t i = 0; i < outputs.size(); i++) print(net.output(i), outputs[i]);
  std::printf("%s on %s: %.3f ms\n", ec_network_name(NETWORK()), ec_network_target(NETWORK()), duration.count());
}

}  // namespace

int main(int count, char** words) {
  if (count < 2 || (count > 2 && static_cast<std::size_t>(count) - 2 != ec_input_count(NETWORK()))) {
    std::fprintf(stderr, "usage: %s WEIGHTS|- [INPUT.raw ...]   (%zu inputs)\n", words[0], ec_input_count(NETWORK()));
    return 2;
  }
  try {
    infer(std::vector<std::string>(words + 1, words + count));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
