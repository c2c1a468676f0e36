#!/usr/bin/env bash
# A real SLURM cluster of this one machine, for tests: `single-node.sh start FOLDER`, `single-node.sh stop FOLDER`.
# Needs Debian's slurm-wlm and munge, and root. Daemons, state and configuration live in FOLDER alone: munged with its
# own key and socket, slurmctld and slurmd with their own configuration, which clients find through SLURM_CONF.
set -euo pipefail

verb=${1:?start or stop}
mkdir -p "${2:?folder}"
folder=$(cd "$2" && pwd)
node=$(hostname -s)
pids=("$folder/slurmd.pid" "$folder/slurmctld.pid" "$folder/munged.pid")
export SLURM_CONF=$folder/slurm.conf PATH=/usr/local/sbin:/usr/sbin:/sbin:$PATH

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }

stop() {
    local pid file
    for file in "${pids[@]}"; do
        [ -s "$file" ] || continue
        pid=$(cat "$file")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
        kill -9 "$pid" 2>/dev/null || true
        rm -f "$file"
    done
}

configure() {
    local cores
    cores=$(getconf _NPROCESSORS_ONLN) # nproc would follow OMP_NUM_THREADS
    cat >"$SLURM_CONF" <<CONF
ClusterName=attune-test
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=0,requeue_delay=1
NodeName=$node NodeAddr=127.0.0.1 CPUs=$cores Sockets=1 CoresPerSocket=$cores ThreadsPerCore=1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

start() {
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
    chmod 400 "$folder/munge.key"
    # --force: munged warns about folders that others may write into, as temporary ones are
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
    configure
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    for _ in $(seq 60); do
        [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && return
        sleep 0.5
    done
    echo "the node did not become idle; see $folder/*.log" >&2
    tail -n 5 "$folder"/slurm*.log >&2
    stop
    exit 1
}

case $verb in
start) start ;;
stop) stop ;;
*) echo "start or stop, not $verb" >&2; exit 2 ;;
esac
