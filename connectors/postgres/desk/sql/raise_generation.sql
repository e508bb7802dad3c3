UPDATE recon.recorder SET generation = generation + 1
