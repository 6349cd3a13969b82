#!/bin/sh
# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Build the collection from TREE into DIST, install the file as a user would, and look whether all of it arrived.
set -eu
tree=$1
dist=$2
rm -rf "$dist"
mkdir -p "$dist"
# Nothing to be found but what is installed here.
export ANSIBLE_COLLECTIONS_PATH="$dist/installed"
ansible-galaxy collection build --output-path "$dist" "$tree"
ansible-galaxy collection install --offline -p "$dist/installed" "$dist"/pilw-maintenance-*.tar.gz
installed=$dist/installed/ansible_collections/pilw/maintenance

for unwanted in .build .git docs/site execution-environment.yml tests/output; do
    if [ -e "$installed/$unwanted" ]; then
        echo "The built file contains $unwanted."
        exit 1
    fi
done
for wanted in README.md LICENSES/GPL-3.0-or-later.txt docs/how_it_works.md docs/images/data_flow.svg docs/awx_project/collections/requirements.yml meta/ee-requirements.txt meta/execution-environment.yml meta/runtime.yml CHANGELOG.rst; do
    if ! [ -s "$installed/$wanted" ]; then
        echo "The built file lacks $wanted."
        exit 1
    fi
done
for module in "$tree"/plugins/modules/*.py; do
    name=pilw.maintenance.$(basename "$module" .py)
    echo "module $name"
    ansible-doc -t module "$name" </dev/null | grep -q "$(basename "$module" .py)"
done
for role in "$tree"/roles/*/meta/argument_specs.yml; do
    name=$(basename "$(dirname "$(dirname "$role")")")
    echo "role $name"
    ansible-doc -t role "pilw.maintenance.$name" </dev/null | grep -q "$name"
done
for playbook in "$tree"/playbooks/*.yml; do
    name=pilw.maintenance.$(basename "$playbook" .yml)
    echo "playbook $name"
    ansible-playbook --syntax-check "$name"
done
