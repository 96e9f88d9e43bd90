/* cpu_features.h: which instruction sets this CPU and its operating system offer. */
#ifndef EC_CPU_FEATURES_H
#define EC_CPU_FEATURES_H

/* 1: there; 0: missing; -1: not a feature this architecture's table knows. Names are those of /proc/cpuinfo. */
int ec_internal_cpu_has(const char *feature);

#endif
