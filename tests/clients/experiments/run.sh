#!/usr/bin/env bash
# The clients that people use for flags and experiments, against the real gateway, over real sockets.
#
#   tests/clients/experiments/run.sh BIN_FOLDER
#
# server/: GrowthBook's SDK and OpenFeature's server SDK. web/: OpenFeature's web SDK, in Node and as a page of another
# origin in headless Chromium. `./dev setup --clients` installs them into build/clients/experiments; where npm's
# registry or Chromium cannot be had, this says so and ends with 77 (skipped), or leaves out the page alone.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd)
installed=${WEIR_CLIENTS:-$here/../../../build/clients}/experiments

for part in server web; do
  if ! cmp -s "$here/$part/package-lock.json" "$installed/$part/.installed"; then
    echo "skipped: the clients of $part/package-lock.json are not installed; ./dev setup --clients does, with npm's registry"
    exit 77
  fi
done

# Modules are found from where a script lies.
cp "$here"/*.mjs "$installed"
for part in server web; do cp "$here/$part"/*.mjs "$installed/$part"; done
cp "$here/web/page.html" "$installed/web"

node=$installed/server/node_modules/.bin/node
status=0
for script in server/growthbook server/openfeature web/openfeature; do
  # EventSource is there from Node 22 on, behind this switch.
  "$node" --experimental-eventsource "$installed/$script.mjs" "$bin/weir" || status=1
done
exit $status
