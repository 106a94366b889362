#!/bin/sh
# Resolves the dependencies of pyproject.toml anew: one file to build with, one for the demo, one for development, pinned and hashed.
set -eu
bin=$1
echo 'setuptools>=77' | "$bin/pip-compile" --quiet --generate-hashes --allow-unsafe --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file build.txt -
for extra in demo dev; do
  "$bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
    --extra "$extra" --output-file "$extra.txt" ../pyproject.toml
  # An extra that names another one makes the resolver list the project itself: it is installed from this tree.
  sed -i '/^# WARNING: pip install/d;/^# Consider using a hashable/d;/^codepool @/,/via codepool/d' "$extra.txt"
  sed -i '1i # Made by `make lock`: pinned and hashed.' "$extra.txt"
done
