#!/bin/bash
# The trainings of this experiment: train.sh SHOES FASHION, from the project's folder, its environment active.
# SHOES: a folder CATEGORY/*.jpg; FASHION: the folder that holds FashionMNIST/raw. Writes runs-shoes.txt and
# runs-fashion.txt, the names of the runs for evaluate.py.
set -euo pipefail
shoes=$1 fashion=$2
names() { local all=""; for seed in 0 1 2; do for model in resnet clip vit autoencoder; do
  all+="$1-${model}_tiny-$seed,"; done; done; echo "${all%,}"; }
for seed in 0 1 2; do
  for model in autoencoder_tiny resnet_tiny clip_tiny vit_tiny; do
    epochs=$(case $model in clip_tiny) echo 20;; resnet_tiny) echo 12;; *) echo 8;; esac)
    python train.py model=$model seed=$seed name=shoes-$model-$seed data=folder data.root="$shoes" \
      data.duplicates=together augment=catalogue trainer.max_epochs="$epochs"
    python train.py model=$model seed=$seed name=fmnist-$model-$seed data=fashion_mnist data.root="$fashion" \
      augment=none data.val=0.05 trainer.max_epochs=1 trainer.limit_train_batches=120
  done
done
names shoes > runs-shoes.txt
names fmnist > runs-fashion.txt
