# What figures were measured on. To be sourced.
# shellcheck shell=bash

# machine: today, the processors, the memory and the kernel.
machine() {
    local processor memory
    processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    memory=$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
    echo "$(date +%F): $(nproc) × $processor, $memory, $(uname -sr)"
}
