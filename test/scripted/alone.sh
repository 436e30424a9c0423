# A network of one's own: a robot with an address, a name that stands for it, and nobody else.
set -e
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link set lo up
ip link add robot0 type veth peer name other0
ip addr add 10.9.9.1/24 dev robot0
ip link set robot0 up
ip link set other0 up
ip route add default via 10.9.9.2
hostname robot
hosts=$(mktemp)
printf '127.0.0.1 localhost\n10.9.9.1 robot\n' >"$hosts"
mount --bind "$hosts" /etc/hosts
exec "$@"
