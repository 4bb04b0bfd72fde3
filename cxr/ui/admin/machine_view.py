"""The machine: processors, memory, GPUs, disks, and where things lie."""

from pathlib import Path

import pandas as pd
import streamlit as st

from cxr.jobs import machine
from cxr.jobs.words import bytes_in_words
from cxr.settings import settings

EVERY_SECONDS = 5


@st.fragment(run_every=EVERY_SECONDS)
def show_machine() -> None:
    """Load, memory, GPUs and disks, drawn anew every few seconds."""
    folders: dict[str, Path] = {
        "Models": settings().models_dir,
        "Jobs": settings().runs_dir,
        "Cache of decoded films": settings().cache_dir,
    }
    if (data := settings().data) is not None:
        folders["Data"] = data
    found = machine.look(folders)
    with st.grid(4):
        st.metric("CPU load", f"{found.cpu_load:.0%}", border=True, help=f"Of {found.cores} cores.")
        st.metric("CPU cores", found.cores, border=True)
        st.metric(
            "Free memory", bytes_in_words(found.memory_free), border=True, help=f"Of {bytes_in_words(found.memory)}."
        )
        st.metric("GPUs", len(found.gpus), border=True)
    if found.gpus:
        st.dataframe(
            pd.DataFrame(
                {
                    "GPU": [gpu.name for gpu in found.gpus],
                    "Free memory": [bytes_in_words(gpu.memory_free) for gpu in found.gpus],
                    "Memory": [bytes_in_words(gpu.memory) for gpu in found.gpus],
                    "Load": [gpu.load for gpu in found.gpus],
                }
            ),
            column_config={"Load": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
            hide_index=True,
            height="content",
        )
    else:
        st.info("No NVIDIA GPU was found: jobs run on the CPU, where an epoch takes long.", icon=":material/memory:")
    st.subheader("Where things lie", anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                "What": list(folders),
                "Folder": [str(folder) for folder in folders.values()],
                "Free on its disk": [bytes_in_words(found.disks[name].free) for name in folders],
                "Size of the disk": [bytes_in_words(found.disks[name].size) for name in folders],
            }
        ),
        hide_index=True,
        height="content",
    )
    if settings().data is None:
        st.caption("No data set is set as CXR_DATA; a job can name any folder.")
