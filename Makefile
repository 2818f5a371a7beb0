# The only entry point: people and CI call the same targets. `make` alone lists them.

SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CGO_ENABLED := 0
# Paths that do not depend on the checkout: a clone in another directory finds what was compiled before.
export GOFLAGS := -trimpath $(GOFLAGS)
export DEBIAN_FRONTEND := noninteractive

# Debian's packages by purpose. `make build` needs Go alone, `make boot` what is in DEBS_BOOT, and the tests everything.
DEBS_VM    := qemu-system-x86 user-mode-linux ovmf ipxe-qemu seabios
DEBS_BOOT  := btrfs-progs dosfstools e2fsprogs git grub-common grub-efi-amd64-bin grub-pc-bin ipxe kmod ntfs-3g perl-base xfsprogs zstd
DEBS_FS    := busybox-static cpio mtools libhivex-bin exfatprogs ocfs2-tools lvm2 mdadm cryptsetup-bin drbd-utils gdisk fdisk parted attr acl libarchive-tools
DEBS_NET   := iproute2 ethtool udpcast uftp dnsmasq-base isc-dhcp-client udhcpc tftp-hpa curl tcpdump nftables socat openssh-client openssh-server nginx-light ansible-core
DEBS_CLOUD := qemu-utils mmdebstrap lxd lxd-client squashfs-tools
DEBS_OTHER := grub-emu efibootmgr binutils rsync casync debootstrap lxc uidmap minisign jq psmisc bzip2 xz-utils lz4 umoci libcap2-bin mount util-linux rpm pacman-package-manager makepkg sqlite3 db5.3-util swtpm libtss2-esys-3.0.2-0 libtss2-rc0 libtss2-tcti-swtpm0 systemd
DEBS := $(DEBS_VM) $(DEBS_BOOT) $(DEBS_FS) $(DEBS_NET) $(DEBS_CLOUD) $(DEBS_OTHER)

# The room has two virtual machines, and waits for them half of its time. The packages whose tests need no virtual machine,
# and lint, run beside it and get what the room leaves of the processors. P is the number of packages that are tested at
# the same time; those that take long start first, so that no processor is idle at the end. Lint has vetted all, and
# runs its own two test packages. 40 minutes is for a cold machine with two cores and software emulation.
ROOM := ./appliance/e2e/roomtest
LINT := ./appliance/glossary ./appliance/linelength
LONG := ./imagestore ./cloud/diskimage ./imagestore/multicast ./appliance/griddle
P := 3

# All build tags at once: what only one of them uses is used.
TAGS := e2e torture cloud

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:[^=]*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: root ## install the Debian packages that are missing, for all targets
deps-boot: ## install the Debian packages that are missing, for `make boot`
deps: PACKAGES := $(DEBS)
deps-boot: PACKAGES := $(DEBS_BOOT)
deps deps-boot:
	@missing=$$(for p in $(PACKAGES); do
		[[ $$(dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null || true) == installed ]] || echo $$p
	done)
	[[ -z $$missing ]] && exit 0
	[[ $$(id -u) == 0 ]] || { echo "run make as root, or have these packages installed:" $$missing; exit 1; }
	echo installing $$missing
	# A package list that names every missing package is new enough; if one of its files is gone from the
	# mirror, fetch a new list and try once more.
	apt-cache show $$missing >/dev/null 2>&1 || apt-get update -q
	install="apt-get install -q -y --no-install-recommends"
	$$install $$missing || { apt-get update -q; $$install $$missing; }

build: go ## compile bin/griddle and bin/griddle-agent (static)
	@mkdir -p bin
	go build -ldflags='-s -w' -o bin/ ./appliance/griddle ./initramfs/griddle-agent

boot: go deps-boot ## make build/boot: kernel, initramfs, loaders, GRUB images
	@go run ./initramfs/mkboot -o build/boot

boot-verify: boot ## make the boot image a second time, from nothing, and compare every byte
	@go run ./initramfs/mkboot -verify -o build/boot

demo: deps build boot ## install two blank virtual machines from a container's image; UI=1: install one by hand
	@go run ./appliance/e2e/demo $(if $(UI),-ui)

test: deps build boot ## everything that a change must pass, lint and two virtual machines included; P=N packages at once
	@go build -o build/together ./appliance/e2e/together
	exec build/together \
		lint='nice -n 10 make lint' \
		packages='nice -n 5 go test -count=1 -vet=off -timeout 40m -p $(P) $$(go list $(LONG)) $$(go list ./... | grep -vxF "$$(go list $(LONG) $(LINT) $(ROOM))")' \
		room='go test -count=1 -vet=off -timeout 60m -v $(ROOM)'

e2e: deps build boot ## every firmware, DHCP mode and disk; power cut, lost server, dirty disk; E2E=NAME for some
	@go run ./appliance/e2e/results -suite -depth 4 'make e2e$(if $(E2E), E2E=$(E2E))' -timeout 150m -parallel 2 -tags e2e -run '$(or $(E2E),.)' -- ./appliance/e2e/full ./initramfs/kexec ./initramfs/erase

pictures: deps build boot ## the pictures of docs/INSTALL.md, from the monitor and the serial line of a virtual machine
	@mkdir -p docs/screen
	go test -count=1 -timeout 60m -tags e2e -run '^TestPictures$$' -v ./appliance/e2e/full -pictures $(CURDIR)/docs/screen

torture: deps build boot ## kills, power cuts of machines too, failing disks, hostile and random streams at length; TORTURE=NAME for some
	@go run ./appliance/e2e/results -suite -depth 4 'make torture$(if $(TORTURE), TORTURE=$(TORTURE))' -timeout 170m -parallel 2 -tags torture -run '$(or $(TORTURE),.)' -- ./imagestore/... ./initramfs/divide ./initramfs/resize ./initramfs/pool ./initramfs/update ./appliance/e2e/powercut

cloud: deps boot ## stacks to login on QEMU and LXD, images on both firmwares, stock clients; CLOUD=NAME for some
	@go run ./appliance/e2e/results -suite 'make cloud$(if $(CLOUD), CLOUD=$(CLOUD))' -timeout 170m -tags cloud -run '$(or $(CLOUD),.)' -- ./cloud/... ./appliance/griddle ./initramfs/install

# Benchmarks that say themselves how often they measure run once.
ONCE := ^Benchmark(Delta|Recompress|Multicast.*)$$

bench: deps build boot ## receiver, publisher, deltas, multicast, disk images, install and update, each beside its peer; BENCH=NAME
	@{ go test -run '^$$' -bench '$(or $(BENCH),.)' -skip '$(ONCE)' -benchtime 3x -timeout 60m ./imagestore/... ./cloud ./cloud/diskimage &&
		go test -run '^$$' -bench '$(or $(BENCH),$(ONCE))' -benchtime 1x -timeout 120m ./imagestore ./imagestore/multicast/trial &&
		[[ -n '$(BENCH)' ]] ||
		go run ./appliance/e2e/bench; } 2>&1 |
		go run ./appliance/e2e/results 'make bench'

fuzz: go ## every fuzz target for FUZZTIME (default 30s)
	@for p in $$(go list ./...); do
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do
			echo "$$p $$f"
			go test -run '^$$' -fuzz "^$$f\$$" -fuzzminimizetime 20x -fuzztime $(or $(FUZZTIME),30s) $$p
		done
	done

api: go ## docs/openapi.yaml and docs/API.md from the code, refused where clients would break, and the Go client
	go test -count=1 -run '^Test(Document|Page)$$' ./appliance/api -update
	go generate ./appliance/api/client

lint: go ## gofmt, go vet, staticcheck, deadcode, length of lines, words of the glossary
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))
	[[ -z $$bad ]] || { echo "gofmt -w these: $$bad"; exit 1; }
	go vet ./... && go vet -tags '$(TAGS)' ./...
	go tool staticcheck -tags '$(TAGS)' ./...
	dead=$$(go tool deadcode -test -tags '$(TAGS)' ./...)
	[[ -z $$dead ]] || { echo "no program and no test calls these: $$dead"; exit 1; }
	go test -count=1 $(LINT)

clean: ## remove what was built; the cache in ~/.cache/griddle stays
	rm -rf bin build

go:
	@command -v go >/dev/null || { echo 'Go is missing: install it and put it on PATH (go.mod says which version)'; exit 1; }

root:
	@[[ $$(id -u) == 0 ]] || { echo 'run make as root: it installs packages, and makes network namespaces, loop devices and mounts'; exit 1; }

.PHONY: help deps deps-boot build boot boot-verify demo test e2e pictures torture cloud bench fuzz api lint clean go root
