#!/usr/bin/env bash
#
# Makes stand-ins for the official images that compose.yaml names, on a machine
# whose Docker engine can reach no registry.
#
# Each is built from Debian's packages (mongod: from a PyPI wheel) and behaves
# like the image whose name it takes as far as compose.yaml and the orchestrator
# use it: users, paths, variables, entry point. They are for tests and trials;
# where a registry answers, take the official images.

set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/images.sh [--pull] [IMAGE...]

Builds those images that the engine does not have, and says so; an image that is
there is left alone, whoever made it. Needs root (debootstrap) and Docker.

  --pull   try to pull each image first, and build it only if that fails

IMAGE is base, rabbitmq, zookeeper, mongo or nginx; without it, all of them. Or
rust, which only an image of the program from its source needs: it is made from
the toolchain of this machine.
USAGE
}

readonly SUITE=bookworm
readonly LABEL=rideshare.stand-in
readonly ALL_IMAGES=(base rabbitmq zookeeper mongo nginx)

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly checkout
readonly recipes=$checkout/scripts/images
pull=false
work=''

say() { echo "images: $*"; }

die() {
    echo "images: $*" >&2
    exit 1
}

tag_of() {
    case $1 in
        base) echo debian:bookworm-slim ;;
        rabbitmq) echo rabbitmq:3.10 ;;
        zookeeper) echo zookeeper:3.8 ;;
        mongo) echo mongo:6.0 ;;
        nginx) echo nginx:stable ;;
        rust) echo rust:1.95-slim-bookworm ;;
    esac
}

exists() { docker image inspect "$1" >/dev/null 2>&1; }

# One at a time on a machine: two would build the same image.
take_turn() {
    exec 9>"/run/lock/rideshare-images.lock"
    flock -w 1800 9 || die "another scripts/images.sh has been at work for 30 minutes: end it, then try again"
}

provide() {
    local image=$1 tag
    tag=$(tag_of "$image")
    if exists "$tag"; then
        say "$tag is there"
    elif "$pull" && docker pull --quiet "$tag" >/dev/null 2>&1; then
        say "$tag pulled"
    else
        say "building a stand-in for $tag"
        "build_$image" "$tag"
    fi
}

build_base() {
    local tag=$1 root=$work/root
    command -v debootstrap >/dev/null || install_debootstrap
    debootstrap --variant=minbase "$SUITE" "$root" >"$work/debootstrap.log" 2>&1 ||
        die "debootstrap failed: $(tail -n 1 "$work/debootstrap.log")"
    slim "$root"
    tar -C "$root" --numeric-owner -c . |
        docker import --change 'CMD ["bash"]' --change "LABEL $LABEL=true" - "$tag" >/dev/null
    rm -rf "$root"
}

install_debootstrap() {
    command -v apt-get >/dev/null ||
        die "debootstrap is missing, and this is not Debian (no apt-get): install it, then try again"
    say "installing debootstrap"
    (apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -yq install --no-install-recommends debootstrap) \
        >"$work/apt.log" 2>&1 </dev/null || die "apt-get failed: $(tail -n 1 "$work/apt.log")"
}

# What the official slim image leaves out too, and security updates, as it has them.
slim() {
    local root=$1
    cat >"$root/etc/apt/sources.list" <<LIST
deb http://deb.debian.org/debian $SUITE main
deb http://deb.debian.org/debian $SUITE-updates main
deb http://deb.debian.org/debian-security $SUITE-security main
LIST
    cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<'DPKG'
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
DPKG
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb \
        "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*.log
    find "$root/usr/share/doc" -type f ! -name copyright -delete
    find "$root/dev" -mindepth 1 -delete
    : >"$root/etc/machine-id"
}

build_rabbitmq() { build "$1" "$recipes/rabbitmq"; }
build_zookeeper() { build "$1" "$recipes/zookeeper"; }
build_nginx() { build "$1" "$recipes/nginx"; }

build_mongo() {
    local mongod=$checkout/.services/bin/mongod
    "$checkout/scripts/services.sh" install mongod
    [[ -x $mongod ]] || mongod=$(command -v mongod) || die "services.sh gave no mongod"
    cp -r "$recipes/mongo" "$work/mongo"
    cp "$mongod" "$work/mongo/mongod"
    build "$1" "$work/mongo"
    rm -rf "$work/mongo"
}

build_rust() {
    local tag=$1 toolchain
    toolchain=$(rustc --print sysroot) || die "rustc is missing: see https://rustup.rs"
    cp -r "$recipes/rust" "$work/rust"
    mkdir "$work/rust/toolchain"
    cp -r "$toolchain/bin" "$toolchain/lib" "$work/rust/toolchain"
    # Those that this machine trusts: the way to the registry may lead past one of its own.
    cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$work/rust/authorities.crt"
    build "$tag" "$work/rust"
    rm -rf "$work/rust"
}

# The classic builder is there on every engine; the other one may need a plug-in.
build() {
    local tag=$1 context=$2 log=$work/build.log
    exists "$(tag_of base)" || provide base
    DOCKER_BUILDKIT=0 docker build --label "$LABEL=true" --tag "$tag" "$context" >"$log" 2>&1 ||
        die "building $tag failed: $(tail -n 5 "$log")"
}

main() {
    local images=() image
    while (($# > 0)); do
        case $1 in
            -h | --help) usage && exit ;;
            --pull) pull=true ;;
            base | rabbitmq | zookeeper | mongo | nginx | rust) images+=("$1") ;;
            *)
                echo "images: unknown argument '$1'" >&2
                usage >&2
                exit 2
                ;;
        esac
        shift
    done
    ((${#images[@]} > 0)) || images=("${ALL_IMAGES[@]}")
    [[ $EUID -eq 0 ]] || die "run this as root: debootstrap and the engine need it"
    docker version >/dev/null 2>&1 || die "the Docker engine does not answer: is it installed, and does it run?"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    take_turn
    for image in "${images[@]}"; do
        provide "$image"
    done
}

main "$@"
