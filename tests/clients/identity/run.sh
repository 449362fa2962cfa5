#!/usr/bin/env bash
# A real identity provider (oidc-provider) with key rotation, and jose as an independent signer and verifier, against the
# real gateway, over real sockets.
#
#   tests/clients/identity/run.sh BIN_FOLDER
#
# `./dev setup --clients` installs both into build/clients/identity; where npm's registry cannot be had, this says so and
# ends with 77 (skipped).
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd)
installed=${WEIR_CLIENTS:-$here/../../../build/clients}/identity/provider

if ! cmp -s "$here/provider/package-lock.json" "$installed/.installed"; then
  echo "skipped: the clients of provider/package-lock.json are not installed; ./dev setup --clients does, with npm's registry"
  exit 77
fi
cp "$here"/provider/*.mjs "$installed"  # modules are found from where a script lies
exec "$installed/node_modules/.bin/node" "$installed/identity.mjs" "$bin/weir"
