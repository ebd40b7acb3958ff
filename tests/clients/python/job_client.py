import asyncio
import websockets
import json

async def test_job_progress():
    uri = "ws://localhost:8080/ws/test-job-id"
    
    async with websockets.connect(uri) as websocket:
        # Wait for connection
        await asyncio.sleep(0.1)
        
        # Should receive updates
        message = await websocket.recv()
        data = json.loads(message)
        
        assert data["type"] in ["job_started", "file_processing", "error"]
        print(f"Received: {data}")

# Run test
asyncio.run(test_job_progress())
