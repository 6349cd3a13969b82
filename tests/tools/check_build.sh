#!/bin/sh
# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Build the collection from TREE into DIST, install the file as a user would, and check that it holds all that it should and nothing else.
set -eu
tree=$1
dist=$2
rm -rf "$dist"
check=$dist/check
planted=$check/planted
mkdir -p "$planted"
# Only the collection installed here may be found.
export ANSIBLE_COLLECTIONS_PATH="$dist/installed"

tracked() {
    git -c "safe.directory=*" -C "$tree" ls-files -co --exclude-standard "$@"
}

files_of() {
    tar -tzf "$1" | grep -v '/$' | LC_ALL=C sort
}

# A copy of the tree with files as they lie in a checkout: none of them may change what is built.
tracked -z | tar -C "$tree" --null -T - -cf - | tar -C "$planted" -xf -
for folder in . docs docs/examples meta playbooks plugins plugins/modules plugins/module_utils roles roles/ceph_maint; do
    for name in .env .foo.py.swp .hidden.py .idea/x .idea/x.py .venv/x .venv/lib/x.py __pycache__/x.pyc \
        id_rsa id_rsa.pub night.yml notes.md~ tests/test_x.py tests/x.yml x.orig x.pyc x.tar.gz; do
        mkdir -p "$(dirname "$planted/$folder/$name")"
        echo planted >"$planted/$folder/$name"
    done
done
for name in .ansible/x docs/site/x.md roles/ceph_maint/tasks/main.yml~ roles/ceph_maint/files/id_rsa tests/output/x; do
    mkdir -p "$(dirname "$planted/$name")"
    echo planted >"$planted/$name"
done
ansible-galaxy collection build --output-path "$check" "$planted"
ansible-galaxy collection build --output-path "$dist" "$tree"
files_of "$check"/pilw-maintenance-*.tar.gz >"$check/planted.txt"
files_of "$dist"/pilw-maintenance-*.tar.gz >"$check/files.txt"
if ! diff "$check/files.txt" "$check/planted.txt"; then
    echo "The build takes these untracked files (>) from a checkout."
    exit 1
fi

tracked meta playbooks plugins roles LICENSES | LC_ALL=C sort >"$check/wanted.txt"
if LC_ALL=C comm -13 "$check/files.txt" "$check/wanted.txt" | grep .; then
    echo "The built file lacks these files: name them in the manifest of galaxy.yml."
    exit 1
fi
for wanted in README.md COPYING CHANGELOG.rst docs/how_it_works.md docs/images/data_flow.svg docs/awx_project/collections/requirements.yml; do
    if ! grep -qxF "$wanted" "$check/files.txt"; then
        echo "The built file lacks $wanted."
        exit 1
    fi
done
# Tests, settings of tools and hidden files serve those who change the collection.
top='README.md|CHANGELOG.rst|CODE_OF_CONDUCT.md|CONTRIBUTING.md|SECURITY.md|COPYING|MANIFEST.json|FILES.json'
if grep -vE "^($top|changelogs/changelog.yaml|(LICENSES|docs|meta|playbooks|plugins|roles)/.+)\$|(^|/)(\.|__pycache__)|^docs/site/" "$check/files.txt"; then
    echo "The built file holds these files, which the manifest of galaxy.yml should leave out."
    exit 1
fi

ansible-galaxy collection install --offline -p "$dist/installed" "$dist"/pilw-maintenance-*.tar.gz
installed=$dist/installed/ansible_collections/pilw/maintenance
for module in "$tree"/plugins/modules/*.py; do
    name=pilw.maintenance.$(basename "$module" .py)
    echo "module $name"
    ansible-doc -t module "$name" </dev/null | grep -q "$(basename "$module" .py)"
done
for role in "$tree"/roles/*/meta/argument_specs.yml; do
    name=$(basename "$(dirname "$(dirname "$role")")")
    echo "role $name"
    ansible-doc -t role "pilw.maintenance.$name" </dev/null | grep -qi "$name"
done
for playbook in "$tree"/playbooks/*.yml; do
    name=pilw.maintenance.$(basename "$playbook" .yml)
    echo "playbook $name"
    ansible-playbook --syntax-check "$name"
done
# No page may link to a file that was left out. The test reads the pages two folders above its own.
mkdir -p "$installed/tests/unit"
cp "$tree/tests/unit/test_links.py" "$installed/tests/unit"
python -m pytest -q -p no:cacheprovider -c /dev/null --rootdir "$installed" "$installed/tests/unit"
rm -r "$installed/tests"
# From a folder, as from a checkout: this builds as well.
ansible-galaxy collection install --offline --force -p "$check/from_folder" "$tree"
diff -r -x __pycache__ "$installed" "$check/from_folder/ansible_collections/pilw/maintenance"
rm -rf "$check"
