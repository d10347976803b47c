#!/usr/bin/env bash
# deploy.sh: bring another version into the running container, or have everything as it was before.
#
#     ./deploy.sh                     # builds the checkout as it is
#     ./deploy.sh --pull IMAGE@sha256:…
#     ./deploy.sh --image IMAGE       # one that is here already
#     ./deploy.sh --back              # the image before the last deployment
#
# Owns: the order (look, fetch, try the settings, back up, switch, listen), the way back, and what is kept of a
# failure in build/deploy. Refuses to know: what a backup is (ttsctl), and what starts (docker-compose.yml).
# docs/operate/upgrade.md is its page; docs/decisions/0040-deployment.md says why it is so.
#
# Nothing that may hold a secret is printed or kept: no environment, no `.env`, no `compose config`.
set -euo pipefail
umask 077
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly SERVICE=appliance
readonly PLACE=build/deploy
readonly CHECK_LIMIT_S=60 # from the start of the container to its last good answer
readonly GOOD_ANSWERS=3 PAUSE_S=5
readonly ANSWER_LIMIT_S=5
readonly STEP_LIMIT_S=900 # for a backup, its return, and what only looks
readonly STOP_LIMIT_S=60 START_LIMIT_S=300 # the latter with the stop of what ran
readonly KEPT_FAILURES=10 KEPT_LOG_LINES=20000
readonly LEAST_SAMPLE_BYTES=8000 # a quarter of a second of 16-bit audio at 16 kHz
readonly LEAST_FREE_MB=${DEPLOY_LEAST_FREE_MB:-3000}
readonly EXIT_RETURNED=1 EXIT_STUCK=2 EXIT_USAGE=64 EXIT_LOCKED=75 EXIT_REFUSED=78

# Of the database, as its file says. Only reads.
readonly SCHEMA='import sqlite3
from appliance.settings import load_settings
path = load_settings().store_path()
if path.exists():
    print(sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("PRAGMA user_version").fetchone()[0])
else:
    print(0)'
# Whether a sample is sound: as long as it says, and not the same all over.
readonly LISTEN='import sys, wave
with wave.open(sys.argv[1]) as sample:
    frames = sample.readframes(sample.getnframes())
sys.exit(0 if len(frames) >= int(sys.argv[2]) and len(set(frames)) > 2 else 1)'

mode=build reference='' dry_run=false with_data=false with_backup=true
compose=() problems=()
project='' container='' image_name='' former='' schema='' backup='' new_image=''
data_moved=false
phase=looking # then: taken (the name of the image means the new one), switched, ended

main() {
  read_options "$@"
  lock
  look
  ((${#problems[@]} == 0)) || refuse
  find_present
  look_at_the_way_back
  if $dry_run; then
    tell_plan
    return
  fi
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  deploy
}

deploy() {
  if [[ -n $former && -z $schema ]]; then schema=$(schema_of_data); fi
  fetch
  take
  try_settings
  back_up
  switch
  if speaks "$CHECK_LIMIT_S" "$GOOD_ANSWERS"; then
    phase=ended
    remember
    say "done: version $(version_of "$container") speaks${former:+; to return: ./deploy.sh --back}"
  else
    keep_failure
    give_back
  fi
}

remember() { # the version before as the way back; a mere restart leaves the one that there is
  if [[ -n $former && $former != "$new_image" ]]; then
    mv "$PLACE/unfinished" "$PLACE/former"
  else
    rm -f "$PLACE/unfinished"
  fi
}

say() { printf '%s %s\n' "$(date -u +%H:%M:%SZ)" "$*"; }
complain() { printf 'deploy.sh: %s\n' "$*" >&2; }
problem() { problems+=("$*"); }
state() { sed -n "s/^$1=//p" "$PLACE/${2:-former}" 2>/dev/null || true; } # state FIELD [unfinished]

usage() {
  cat <<'TEXT'
usage: ./deploy.sh [--pull IMAGE@sha256:DIGEST | --image IMAGE | --back [--data]] [--no-backup] [--dry-run]

Without an option the checkout is built. The new version has to speak within 60 s, or the former one is started
again, with the former data where the database's schema has changed.

  --pull IMAGE@sha256:DIGEST  fetch this image
  --image IMAGE               take this image, which is here already
  --back                      the image before the last deployment
  --data                      with --back: the backup from before that deployment takes the database's place
  --no-backup                 make no backup first: where the schema changes there is no way back by itself then
  --dry-run                   look at everything, say what would be done, and change nothing
TEXT
}

misused() {
  complain "$1"
  usage >&2
  exit "$EXIT_USAGE"
}

choose() { # choose MODE [IMAGE]
  [[ $mode == build ]] || misused 'one of --pull, --image and --back is enough'
  mode=$1 reference=${2:-}
}

read_options() {
  while (($#)); do
    case $1 in
      --pull | --image)
        (($# >= 2)) && [[ $2 =~ ^[A-Za-z0-9][A-Za-z0-9._/:@-]*$ ]] || misused "$1 needs the name of an image"
        choose "${1#--}" "$2"
        shift
        ;;
      --back) choose back ;;
      --data) with_data=true ;;
      --no-backup) with_backup=false ;;
      --dry-run) dry_run=true ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) misused "what is $1?" ;;
    esac
    shift
  done
  if [[ $mode == pull && ! $reference =~ @sha256:[0-9a-f]{64}$ ]]; then
    misused '--pull needs a digest (IMAGE@sha256:…): a tag may mean another image tomorrow'
  fi
  if $with_data && [[ $mode != back ]]; then misused '--data goes with --back'; fi
  [[ $LEAST_FREE_MB =~ ^(0|[1-9][0-9]{0,8})$ ]] || misused 'DEPLOY_LEAST_FREE_MB is a number of megabytes'
}

# --- look: everything that stands in the way at once, and nothing is changed

look() {
  look_at_env
  if ! command -v docker >/dev/null; then
    problem 'docker is missing: sudo apt-get install docker.io docker-compose'
  elif ! docker info >/dev/null 2>&1; then
    problem "Docker's engine doesn't answer: sudo systemctl start docker, or run this as a user who may ask it"
  else
    look_at_compose
  fi
  look_at_disks
}

look_at_env() {
  local mode owner
  if [[ ! -f .env ]]; then
    problem '.env is missing: cp .env.example .env && chmod 600 .env, and write this address of the host into it'
    return
  fi
  mode=$(stat -L -c %a .env) owner=$(stat -L -c %u .env)
  if ((8#$mode & 8#077)); then problem ".env has mode $mode, so that others may read it: chmod 600 .env"; fi
  if ((owner != EUID && EUID != 0)); then problem '.env belongs to somebody else: run this as its owner'; fi
}

look_at_compose() {
  if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
  elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
  else
    problem 'Compose is missing: sudo apt-get install docker-compose'
    return
  fi
  name_project
  compose+=(-p "$project")
  # Never shown: of a right file it prints every value, and of a wrong `.env` the lines that it can't read.
  if ! "${compose[@]}" config --quiet >/dev/null 2>&1 </dev/null; then
    problem "docker-compose.yml and .env don't fit each other: ${compose[*]} config --quiet says why"
  fi
}

name_project() { # as Compose does, of either version
  local name=${COMPOSE_PROJECT_NAME:-}
  [[ -n $name ]] || name=$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' .env 2>/dev/null | tail -n 1)
  [[ -n $name ]] || name=$(basename "$PWD" | tr '[:upper:]' '[:lower:]' | tr -cd 'a-z0-9_-' | sed 's/^[_-]*//')
  project=$name
}

look_at_disks() {
  local place free_mb
  for place in . "$(docker info -f '{{.DockerRootDir}}' 2>/dev/null || true)"; do
    [[ -d $place ]] || continue
    free_mb=$(($(df -Pk -- "$place" | awk 'NR == 2 {print $4}') / 1024))
    if ((free_mb < LEAST_FREE_MB)); then
      problem "$free_mb MB are free on the disk of ${place/#./this folder}, $LEAST_FREE_MB are needed: docker image prune"
    fi
  done
}

refuse() {
  complain 'not deployed, and nothing has been changed:'
  printf '  %s\n' "${problems[@]}" >&2
  exit "$EXIT_REFUSED"
}

lock() {
  mkdir -p "$PLACE"
  exec 9>>"$PLACE/lock"
  if ! flock -n 9; then
    complain 'another deployment is under way: wait for its end'
    exit "$EXIT_LOCKED"
  fi
}

find_present() {
  find_container
  image_name=$("${compose[@]}" config 2>/dev/null </dev/null | awk -v service="$SERVICE:" '
    /^  [^ ]/ {is_inside = $1 == service} is_inside && /^    image:/ {print $2}')
  [[ -n $container ]] || return 0
  former=$(docker inspect -f '{{.Image}}' "$container")
  schema=$(schema_inside "$container")
  [[ -n $(state image unfinished) ]] || return 0
  if speaks "$CHECK_LIMIT_S" 1; then # it has ended well after all
    $dry_run || mv "$PLACE/unfinished" "$PLACE/former"
  else
    say 'an earlier deployment was broken off, as by a power cut: the way back is the one to the version before it'
    former=$(state image unfinished) schema=$(state schema unfinished) backup=$(state backup unfinished)
    with_backup=false # of what doesn't speak; the one from before is there
  fi
}

find_container() { # whether it runs or not
  container=$(docker ps --all --quiet --no-trunc --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$SERVICE" \
    --filter label=com.docker.compose.oneoff=False | head -n 1)
}

schema_of_data() { alone python -c "$SCHEMA" 2>/dev/null | tr -d '\r' | tail -n 1 || true; }
schema_inside() { timeout "$STEP_LIMIT_S" docker exec "$1" python -c "$SCHEMA" 2>/dev/null || true; }

look_at_the_way_back() {
  if [[ $mode == image ]] && ! docker image inspect "$reference" >/dev/null 2>&1; then
    problem "there is no image $reference here: build or fetch it, or name it rightly"
  elif [[ $mode == back ]]; then
    reference=$(state image)
    if [[ -z $reference ]] || ! docker image inspect "$reference" >/dev/null 2>&1; then
      problem 'no former image is here: --pull or build the version that you want'
    elif [[ -n $schema && $schema != "$(state schema)" ]] && ! $with_data; then
      problem "the database has schema $schema now and had $(state schema) then: the former image needs the former
    data, ./deploy.sh --back --data, and what happened since $(state made) is kept aside"
    elif $with_data && [[ -z $(state backup) ]]; then
      problem 'no backup was made before the last deployment: ttsctl backup list'
    fi
  fi
  ((${#problems[@]} == 0)) || refuse
}

tell_plan() {
  case $mode in
    build) say "would build $SERVICE from this checkout as $image_name" ;;
    pull) say "would fetch $reference and call it $image_name" ;;
    *) say "would call $reference $image_name" ;;
  esac
  say 'would have the new version check the settings'
  if [[ -n $container ]] && $with_backup; then say 'would make a backup in the running container'; fi
  if $with_data; then say "would put the backup $(state backup) in the database's place"; fi
  say "would start it and listen: $GOOD_ANSWERS good answers of /health/tts and a sample within $CHECK_LIMIT_S s"
  say "otherwise: ${former:-nothing runs, so there is nothing to return to}"
}

# --- forwards

fetch() {
  case $mode in
    build)
      say 'building'
      phase=taken # the name of the image may mean the new one from now on
      DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1 "${compose[@]}" build "$SERVICE" </dev/null
      ;;
    pull)
      say "fetching $reference"
      docker pull --quiet "$reference"
      ;;
  esac
}

take() {
  phase=taken
  if [[ $mode != build ]]; then docker tag "$reference" "$image_name"; fi
  new_image=$(docker image inspect -f '{{.Id}}' "$image_name")
  if [[ $new_image == "$former" ]]; then say 'the image is the one that runs already; it is started anew'; fi
}

alone() { # alone COMMAND…: in a container of its own, on the data, without a port
  timeout "$STEP_LIMIT_S" "${compose[@]}" run --rm --no-deps -T "$SERVICE" "$@" </dev/null
}

try_settings() {
  say 'having the new version check the settings'
  if ! alone ttsctl check-config >/dev/null; then
    complain 'the new version refuses the settings, as it says above, or cannot start at all'
    exit "$EXIT_REFUSED"
  fi
}

back_up() {
  [[ -n $container ]] || return 0
  if $with_backup; then
    say 'backing up'
    local made
    if ! made=$(timeout "$STEP_LIMIT_S" docker exec "$container" ttsctl backup create --json); then
      complain 'no backup could be made: mend that (ttsctl doctor), or go without one: --no-backup'
      exit "$EXIT_REFUSED"
    fi
    backup=$(sed -nE 's/^ *"file": *"([A-Za-z0-9._-]+)".*/\1/p' <<<"$made" | head -n 1)
  fi
}

switch() {
  local data=''
  if $with_data; then data=$(state backup); fi
  if [[ -n $former ]]; then
    [[ $former == "$new_image" ]] || docker tag "$former" "${image_name%:*}:former" # so that no `docker image prune` takes it
    printf '%s\n' "image=$former" "schema=$schema" "backup=$backup" "made=$(date -u +%FT%TZ)" >"$PLACE/new"
    mv "$PLACE/new" "$PLACE/unfinished"
  fi
  phase=switched
  local before=${former:-sha256:nothing}
  say "starting ${new_image:7:12} in place of ${before:7:12}"
  if [[ -n $data ]]; then put_back "$data" || return 0; fi
  start || true # what did not start does not speak
}

start() {
  timeout "$START_LIMIT_S" "${compose[@]}" up -d --no-build --no-deps --force-recreate "$SERVICE" \
    </dev/null >"$PLACE/compose" 2>&1 && return 0
  tail -n 5 "$PLACE/compose" >&2
  return 1
}

halt() {
  find_container
  [[ -z $container ]] || docker stop --time "$STOP_LIMIT_S" "$container" >/dev/null
}

put_back() { # put_back BACKUP: by the image that the name means now
  say "putting back the data of $1"
  data_moved=true
  halt && alone ttsctl backup restore "$1"
}

# --- listening; each `return` here has its code, as without one it has that of before where a trap calls

speaks() { # speaks SECONDS ANSWERS: whether it answers so often, and says a sample that is sound
  local deadline=$((SECONDS + $1)) good=0
  find_container
  while [[ -n $container ]] && ((SECONDS < deadline)) && is_up; do
    if answers; then
      good=$((good + 1))
      if ((good >= $2)); then
        sounds $((deadline - SECONDS))
        return $?
      fi
      sleep "$PAUSE_S"
    else
      good=0
      sleep 0.5
    fi
  done
  complain "it doesn't speak: $(how_it_is), $good good answers"
  return 1
}

how_it_is() {
  docker inspect -f '{{.State.Status}}, exit code {{.State.ExitCode}}, started again {{.RestartCount}} times' \
    "$container" 2>/dev/null || echo 'there is no container'
}

is_up() { [[ $(docker inspect -f '{{.State.Running}} {{.RestartCount}}' "$container" 2>/dev/null) == 'true 0' ]]; }

answers() { # through the published port, as clients come
  local place
  place=$(docker port "$container" 8000/tcp 2>/dev/null | grep -m 1 '^127\.0\.0\.1:') || return 1
  # shellcheck disable=SC2016  # the inner shell's
  timeout "$ANSWER_LIMIT_S" bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf "GET /health/tts HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" >&3
    read -r _ status _ <&3 && cat <&3 >/dev/null && [[ $status == 200 ]]' _ "${place##*:}" 2>/dev/null
}

sounds() { # sounds SECONDS
  local file=/tmp/deploy-sample.wav
  timeout "$(($1 > 1 ? $1 : 1))" docker exec "$container" sh -c "
    trap 'rm -f $file' EXIT
    ttsctl say 'The new version speaks.' -o $file && python -c '$LISTEN' $file $LEAST_SAMPLE_BYTES
  " >/dev/null && return 0
  complain 'it answers, and has no sound to give'
  return 1
}

version_of() { docker inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}}' "$1"; }

# --- backwards

keep_failure() {
  local folder
  folder=$PLACE/failed-$(date -u +%Y%m%dT%H%M%SZ)
  mkdir -p "$folder"
  find_container
  if [[ -n $container ]]; then
    docker logs --timestamps --tail "$KEPT_LOG_LINES" "$container" >"$folder/log" 2>&1 || true
    docker inspect -f '{{.Image}} {{json .State}}' "$container" >"$folder/state" 2>&1 || true
  fi
  say "its log is kept: $folder"
  find "$PLACE" -maxdepth 1 -name 'failed-*' -type d | sort | head -n "-$KEPT_FAILURES" | xargs -r rm -r --
}

name_former() { if [[ -n $former ]]; then docker tag "$former" "$image_name"; fi; }

give_back() {
  phase=ended # whatever comes now, it is tried once
  trap '' INT TERM HUP
  local begun=$SECONDS now
  if [[ -z $former ]]; then
    complain 'there was no version before, so nothing to return to: ttsctl doctor'
    exit "$EXIT_STUCK"
  fi
  say "returning to ${former:7:12}"
  name_former
  halt || true
  now=$(schema_of_data)
  if $data_moved || [[ -n $schema && -n $now && $now != "$schema" ]]; then # never by a guess
    say "the database's schema was ${schema:-unknown} and is ${now:-unknown}"
    if [[ -z $backup ]] || ! put_back "$backup"; then stuck; fi
  fi
  { start && speaks "$CHECK_LIMIT_S" 1; } || stuck
  rm -f "$PLACE/unfinished"
  if [[ -n $(state image) ]]; then docker tag "$(state image)" "${image_name%:*}:former" 2>/dev/null || true; fi
  say "returned after $((SECONDS - begun)) s: version $(version_of "$container") speaks again"
  exit "$EXIT_RETURNED"
}

stuck() {
  keep_failure
  complain "the former version doesn't speak either. It is $former, and its backup ${backup:-was not made}."
  complain 'docs/operate/upgrade.md#when-there-is-no-way-back says what is left to do'
  exit "$EXIT_STUCK"
}

leave() { # whatever ended this: nothing new stays half done
  local code=$?
  trap - EXIT
  trap '' INT TERM HUP
  case $phase in
    taken)
      name_former
      complain 'nothing was switched: the version that ran goes on'
      ((code)) || code=$EXIT_RETURNED
      ;;
    switched)
      complain 'broken off'
      keep_failure
      give_back
      ;;
  esac
  exit "$code"
}

main "$@"
