"""Workers share out what the machine has."""

from voxtwist.sweep.crew import devices_of


def test_each_worker_has_a_gpu_of_those_that_are_visible():
    visible = {"CUDA_VISIBLE_DEVICES": "2,3"}
    dealt = [devices_of(i, 3, visible)["CUDA_VISIBLE_DEVICES"] for i in range(3)]
    assert dealt == ["2", "3", "2"]


def test_without_gpus_the_threads_are_divided():
    environment = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "8"}
    assert devices_of(1, 3, environment) == {"OMP_NUM_THREADS": "2"}
    assert devices_of(1, 16, environment) == {"OMP_NUM_THREADS": "1"}
