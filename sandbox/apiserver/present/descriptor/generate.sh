#!/bin/sh
# Regenerates messages.json: which protobuf field of each Kubernetes type is which JSON field.
# Needs Go. Reads the struct tags of the Go modules, because they hold both names and `omitempty`; the .proto files do not.
# Usage: sh sandbox/apiserver/present/descriptor/generate.sh            writes messages.json
#        sh sandbox/apiserver/present/descriptor/generate.sh SEED DEPTH prints sample objects of every kind, in protobuf and JSON
set -eu
version=v0.32.5
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.go "$work"
cd "$work"
go mod init descriptor >/dev/null 2>&1
go get "k8s.io/api@$version" "k8s.io/apimachinery@$version" "k8s.io/apiextensions-apiserver@$version" 2>/dev/null
if [ $# -gt 0 ]; then go run . "$@"; else go run . >"$here/messages.json"; fi
