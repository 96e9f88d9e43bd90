/* describe.c: the questions about a network that need no instance. */
#include "network.h"

uint32_t ec_abi_version(void) { return EC_ABI_VERSION; }

const char *ec_network_name(const ec_network *network) { return network->name; }

const char *ec_network_target(const ec_network *network) { return network->target; }

size_t ec_input_count(const ec_network *network) { return network->input_count; }

size_t ec_output_count(const ec_network *network) { return network->output_count; }

const ec_tensor_info *ec_input(const ec_network *network, size_t index) {
  return index < network->input_count ? &network->inputs[index] : NULL;
}

const ec_tensor_info *ec_output(const ec_network *network, size_t index) {
  return index < network->output_count ? &network->outputs[index] : NULL;
}

size_t ec_arena_bytes(const ec_network *network) { return network->arena_bytes; }

size_t ec_weights_bytes(const ec_network *network) { return network->weights_bytes; }

size_t ec_step_count(const ec_network *network) { return network->step_count; }

const char *ec_step_name(const ec_network *network, size_t step) {
  return step < network->step_count ? network->steps[step] : NULL;
}
