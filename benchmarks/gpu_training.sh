#!/usr/bin/env bash
# Issue "Shards, loader and distributed training" on one GPU of 140 GB: all its figures in one call.
#
#     benchmarks/gpu_training.sh data       the embedded people at 512 x 352, up to textures, on all cores
#     benchmarks/gpu_training.sh full       a step at full size, its gradients compiled and not
#     benchmarks/gpu_training.sh end_to_end training at full size from shards of `data`
#     benchmarks/gpu_training.sh base       mannequins-base: latents, shards, training, test pairs, scores
#
# It works in a copy of this folder, $WORK, and leaves lines, logs, curve and sample grids in $OUT. OUTFITS, STEPS
# and SIZE (full, or cpu to try the script) shrink it.
set -euo pipefail
OUT=${OUT:?a folder for results}
WORK=${WORK:-/tmp/gpu_training}
OUTFITS=${OUTFITS:-640} STEPS=${STEPS:-3000} BATCH=${BATCH:-128} SIZE=${SIZE:-full} PYTHON=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TORCHINDUCTOR_CACHE_DIR=/tmp/inductor

# set_params FILE KEY=VALUE...: section.key=value, written over the profile's
set_params() {
  "$PYTHON" - "$@" <<'PY'
import sys
from ruamel.yaml import YAML
yaml, (path, *changes) = YAML(), sys.argv[1:]
with open(path) as file:
    params = yaml.load(file)
for change in changes:
    name, value = change.split("=", 1)
    section, key = name.split(".")
    assert key in params[section], name
    params[section][key] = YAML(typ="safe").load(value)
with open(path, "w") as file:
    yaml.dump(params, file)
PY
}

workspace() { # NAME: a folder like this one, its params mannequins-base with few outfits
  mkdir -p "$WORK/$1" && cp -r profiles dvc.yaml "$WORK/$1/"
  cp profiles/mannequins-base.yaml "$WORK/$1/params.yaml"
  set_params "$WORK/$1/params.yaml" dataset.num_outfits="$OUTFITS" dataset.num_test_outfits=$((OUTFITS / 16)) \
    dataset.outfits_per_part=16 runtime.tracking_uri=http://127.0.0.1:9 # no server: the journal keeps it all
}

stages() { # NAME STAGE...
  local name=$1; shift
  for stage in "$@"; do
    (cd "$WORK/$name" && time "$PYTHON" -m mcld run "$stage") 2>&1 | tee -a "$OUT/$name.log"
  done
}

data() {
  workspace base
  (cd "$WORK/base" && set_params params.yaml runtime.device=cpu)
  stages base dataset densepose face texture
}

full() {
  "$PYTHON" -m benchmarks.train_step --size "$SIZE" ${ROWS:---batch 64} --no-eager --repeats 5 | tee -a "$OUT/lines.jsonl"
}

end_to_end() { # full size from real shards, the base data set's images at 512 x 512
  cp -r "$WORK/base" "$WORK/large"
  set_params "$WORK/large/params.yaml" latents.height_px="${SIDE:-512}" latents.width_px="${SIDE:-512}" \
    latents.texture_height_px="$((${SIDE:-512} * 3 / 2))" latents.texture_width_px="${SIDE:-512}" \
    weights.untrained_channels="${CHANNELS:-[320, 640, 1280, 1280]}" runtime.device=auto runtime.keep_last_checkpoints=1
  stages large weights latents shards
  (cd "$WORK/large" && "$PYTHON" -m benchmarks.training --steps "${FULL_STEPS:-80}" --batch "${FULL_BATCH:-64}" \
    --compile --profile "${PROFILE:-10}") 2>"$OUT/training.err" | tee -a "$OUT/lines.jsonl"
}

base() {
  set_params "$WORK/base/params.yaml" runtime.device=auto runtime.compile="${COMPILE:-true}" train.batch_size="$BATCH" \
    train.steps="$STEPS" train.warmup_steps=$((STEPS / 20)) train.checkpoint_every_steps=$((STEPS / 3)) \
    train.sample_every_steps=$((STEPS / 3)) train.pairs_per_visit=12 generate.batch_size="$BATCH" generate.num_pairs="${PAIRS:-256}"
  stages base weights latents shards train generate evaluate
  (cd "$WORK/base" && cp metrics/*.json metrics/loss.csv "$OUT/" && tar cf "$OUT/base.tar" metrics params.yaml \
    artifacts/train/samples artifacts/train/manifest.json artifacts/evaluate .mcld/journal)
}

mkdir -p "$OUT"
for part in "$@"; do "$part"; done
