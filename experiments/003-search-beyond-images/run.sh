#!/bin/bash
# The trainings and evaluations of this experiment: run.sh CAPTIONS OUT, from the project's folder, its
# environment active. CAPTIONS: a table path,id,...,baseColour,...,title beside the folder of images; OUT: for JSON files.
set -euo pipefail
captions=$1 out=$2
data=(data=manifest data.path="$captions" data.columns.caption=title data.columns.item_id=id data.duplicates=together
      augment=catalogue seed=0)
python train.py model=clip_tiny name=clip "${data[@]}" trainer.max_epochs=20
python train.py model=clip_tiny name=clip-diagonal model.targets=diagonal "${data[@]}" trainer.max_epochs=20
python train.py model=resnet_tiny name=resnet "${data[@]}" trainer.max_epochs=12
python train.py model=autoencoder_tiny name=autoencoder "${data[@]}" trainer.max_epochs=8
python train.py model=vit_tiny name=vit "${data[@]}" trainer.max_epochs=8
hybrid() { python train.py model=hybrid name="$1" "model.runs=[$2]" "${data[@]}" data.image_size=64 trainer.precision=32-true; }
hybrid hybrid-resnet-clip resnet,clip
hybrid hybrid-resnet-diagonal resnet,clip-diagonal
hybrid hybrid-four resnet,clip,autoencoder,vit
for run in clip clip-diagonal hybrid-resnet-clip hybrid-resnet-diagonal; do
  python evaluate.py run=$run texts=true attribute=baseColour shots=true rerank=true out="$out/$run.json"
done
for run in resnet autoencoder vit hybrid-four; do python evaluate.py run=$run shots=true rerank=true out="$out/$run.json"; done
python evaluate.py 'runs=[resnet,clip,clip-diagonal,autoencoder,vit,hybrid-resnet-clip,hybrid-resnet-diagonal,hybrid-four]' \
  indicators=false out="$out/compared"
python "$(dirname "$0")/collect.py" "$out"
