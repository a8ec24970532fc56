#!/bin/bash
# First process of a node, in network, mount, process id and host name namespaces of its own: prepares the file system,
# keeps every program running, and ends with its standard input, which whoever started the cluster holds open. What it
# started ends with it.
#
# usage: node.sh STATE PROGRAMS NAME NODE_IP POD_NETWORK SERVICE_NETWORK [PROGRAM=SECONDS...]
# A program that is named at the end starts that much later. While the file STATE/hold is there, no pod starts.
set -euo pipefail
state=$1 programs=$2 name=$3 ip=$4 pods=$5 services=$6
shift 6
declare -A pauses=()
for pause in "$@"; do pauses[${pause%%=*}]=${pause#*=}; done
pki=$state/pki

mount --make-rshared /
hostname "$name"
mount -t tmpfs -o mode=755 tmpfs /run
# A fresh /sys shows this node's network; the control groups must stay.
mkdir -p /run/cgroups /run/lock
mount --rbind /sys/fs/cgroup /run/cgroups
mount --make-rprivate /run/cgroups
mount -t sysfs sysfs /sys
mount --rbind /run/cgroups /sys/fs/cgroup
umount -l /run/cgroups
# The kubelet and the CNI plug-ins have a few fixed paths: each node gets its own.
for folder in /var/log/containers /var/lib/cni /usr/libexec/kubernetes /var/lib/kubelet; do
  mkdir -p $folder
  mount -t tmpfs tmpfs $folder
done
mount --make-rshared /
ip link set lo up
export PATH=$programs:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
cd "$state"

run() {
  local program=$1
  (
    sleep "${pauses[$program]:-0}"
    while [ "$program" = kubelet ] && [ -e "$state/hold" ]; do sleep 0.1; done
    while :; do
      "$@" >> "$state/log/$program.log" 2>&1 < /dev/null || true
      echo "--- $program ended, again in 1 s" >> "$state/log/$program.log"
      sleep 1
    done
  ) < /dev/null &
}

run containerd --config "$state/containerd.toml" --log-level warn
run etcd --name=node --data-dir="$state/etcd" --unsafe-no-fsync --log-level=warn \
  --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
  --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
  --initial-cluster=node=http://127.0.0.1:2380
run kube-apiserver --advertise-address="$ip" --secure-port=6443 --allow-privileged=true --authorization-mode=Node,RBAC \
  --client-ca-file="$pki/ca.crt" --enable-admission-plugins=NodeRestriction --etcd-servers=http://127.0.0.1:2379 \
  --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key" \
  --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
  --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
  --requestheader-username-headers=X-Remote-User --service-cluster-ip-range="$services" --profiling=false \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-key-file="$pki/tokens.pub" --service-account-signing-key-file="$pki/tokens.key" \
  --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key"
run kube-scheduler --kubeconfig="$state/scheduler.conf" --authentication-kubeconfig="$state/scheduler.conf" \
  --authorization-kubeconfig="$state/scheduler.conf" --leader-elect=false --bind-address=127.0.0.1 --profiling=false
run kubelet --config="$state/kubelet.yaml" --kubeconfig="$state/kubelet.conf" --root-dir="$state/kubelet" \
  --hostname-override="$name" --node-ip="$ip"
run kube-proxy --config="$state/kube-proxy.yaml"
# Its controllers start one after the other at the default rate, and service accounts come seconds late.
run kube-controller-manager --kubeconfig="$state/controller-manager.conf" --leader-elect=false \
  --authentication-kubeconfig="$state/controller-manager.conf" --kube-api-qps=500 --kube-api-burst=1000 \
  --authorization-kubeconfig="$state/controller-manager.conf" --service-account-private-key-file="$pki/tokens.key" \
  --root-ca-file="$pki/ca.crt" --use-service-account-credentials=true --allocate-node-cidrs=true \
  --cluster-cidr="$pods" --service-cluster-ip-range="$services" --bind-address=127.0.0.1 --profiling=false \
  --cluster-name="$name" --requestheader-client-ca-file="$pki/front-proxy-ca.crt"

cat > /dev/null # until whoever started this is gone
